"""What of the decisions' state outlives a daemon, as JSON: what is wanted and what was good.

What runs is not in it: the keeper tells the next daemon. Unknown keys are passed over, so that an older
daemon reads what a newer one wrote.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any, TypeVar

from backstay.deploy.state import (
    Deploy,
    Failure,
    Fleet,
    Goal,
    Need,
    Order,
    Pace,
    Placement,
    Pool,
    Revision,
    Rollout,
    Service,
    Snapshot,
)

__all__ = ["dump_deploy", "dump_service", "load_fleet"]

T = TypeVar("T")


def dump_service(service: Service) -> dict[str, Any]:
    """Write down what is wanted of a service."""
    return {
        "target": _dump_placement(service.target),
        "good": _dump_placement(service.good),
        "goal": service.goal.value,
        "failure": asdict(service.failure) if service.failure else None,
        "refused": service.refused,
        "leaving": service.leaving,
        "rollout": _dump_rollout(service.rollout),
        "paused": service.paused,
        "last_number": service.last_number,
    }


def dump_deploy(deploy: Deploy | None) -> dict[str, Any] | None:
    """Write down the deploy under way."""
    if deploy is None:
        return None
    return {
        "id": deploy.id,
        "verb": deploy.verb,
        "atomic": deploy.atomic,
        "services": list(deploy.services),
        "before": {
            name: {
                "target": _dump_placement(before.target),
                "good": _dump_placement(before.good),
                "goal": before.goal.value,
                "failure": asdict(before.failure) if before.failure else None,
            }
            for name, before in deploy.before.items()
        },
        "failed": {name: asdict(failure) for name, failure in deploy.failed.items()},
        "rolled_back": list(deploy.rolled_back),
        "rolling_back": deploy.rolling_back,
    }


def load_fleet(services: dict[str, Any], deploy: dict[str, Any] | None) -> Fleet:
    """Make the fleet that a new daemon begins with; what runs is still to be told."""
    loaded = {
        name: Service(
            name,
            target=_load_placement(value["target"]),
            good=_load_placement(value["good"]),
            goal=Goal(value["goal"]),
            failure=_load_failure(value.get("failure")),
            refused=value.get("refused"),
            leaving=value.get("leaving", False),
            rollout=_load_rollout(value.get("rollout")),
            paused=value.get("paused", False),
            last_number=value.get("last_number", 0),
        )
        for name, value in services.items()
    }
    return Fleet(services=MappingProxyType(loaded), deploy=_load_deploy(deploy), adopting=True)


def _load_deploy(value: dict[str, Any] | None) -> Deploy | None:
    if value is None:
        return None
    before = {
        name: Snapshot(
            _load_placement(snapshot["target"]),
            _load_placement(snapshot["good"]),
            Goal(snapshot["goal"]),
            _load_failure(snapshot.get("failure")),
        )
        for name, snapshot in value["before"].items()
    }
    failed = {name: Failure(**failure) for name, failure in value["failed"].items()}
    return Deploy(
        value["id"],
        value["verb"],
        value["atomic"],
        tuple(value["services"]),
        MappingProxyType(before),
        MappingProxyType(failed),
        tuple(value["rolled_back"]),
        value["rolling_back"],
    )


def _dump_placement(placement: Placement | None) -> dict[str, Any] | None:
    return asdict(placement) if placement else None


def _load_placement(value: dict[str, Any] | None) -> Placement | None:
    if value is None:
        return None
    revision = _known(Revision, value["revision"])
    revision["need"] = Need(**_known(Need, revision["need"]))
    for way in ("update", "rollback"):
        revision[way] = _load_pace(revision.get(way))
    pool = revision.get("pool")
    revision["pool"] = Pool(**_known(Pool, pool)) if pool else None
    revision["parts"] = tuple((key, digest) for key, digest in revision["parts"])
    revision["depends_on"] = tuple((name, condition) for name, condition in revision["depends_on"])
    return Placement(Revision(**revision), tuple(value["names"]))


def _load_pace(value: dict[str, Any] | None) -> Pace:
    known = _known(Pace, value or {})
    return Pace(**known | {"order": Order(known["order"])}) if "order" in known else Pace(**known)


def _dump_rollout(rollout: Rollout | None) -> dict[str, Any] | None:
    if rollout is None:
        return None
    return {
        "total": rollout.total,
        "back": rollout.back,
        "batch": list(rollout.batch),
        "done": sorted(rollout.done),
        "failed": {name: asdict(failure) for name, failure in rollout.failed.items()},
    }


def _load_rollout(value: dict[str, Any] | None) -> Rollout | None:
    if value is None:
        return None
    return Rollout(
        value["total"],
        value["back"],
        tuple(value["batch"]),
        frozenset(value["done"]),
        MappingProxyType({name: Failure(**failure) for name, failure in value["failed"].items()}),
    )


def _load_failure(value: dict[str, Any] | None) -> Failure | None:
    return Failure(**value) if value else None


def _known(cls: type[T], value: dict[str, Any]) -> dict[str, Any]:
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return {key: item for key, item in value.items() if key in names}
