"""`deploy`: how many instances, what they hold of the machine, how a new revision takes over."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, kind_of, refuse, spelling
from backstay.config.models.mcp import Texts
from backstay.config.models.scalars import Count, Cpus, Duration, Name, Size, parse_count


def read_device_count(value: Any) -> int | Literal["all"]:
    """Read how many devices: a number, or `all`."""
    if value == "all":
        return "all"
    count = parse_count(value)
    if count == 0:
        raise refuse("a reservation of no device", "leave it out, or write a number from 1, or `all`")
    return count


def read_ratio(value: Any) -> float:
    """Read a part of the whole, from 0 to 1."""
    try:
        ratio = -1.0 if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise refuse(f"expected a ratio, got {kind_of(value)}", "write a number from 0 to 1")
    return ratio


def read_parallelism(value: Any) -> int:
    """Read how many instances change at a time; 0 is all."""
    return parse_count(value)


class Device(Model):
    """Devices of one kind; GPUs are the kind there is."""

    capabilities: Texts = ("gpu",)
    """What the device must be able to do: `gpu`."""
    count: (
        Annotated[
            int | Literal["all"],
            BeforeValidator(read_device_count),
            WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "all"}]}),
        ]
        | None
    ) = None
    """How many, or `all`. 1 where neither this nor `device_ids` is given."""
    device_ids: Texts = ()
    """These very devices, by index or UUID: the process sees no others (`CUDA_VISIBLE_DEVICES`)."""
    driver: Name | None = None
    """The driver: `nvidia`, whose devices are the ones that are counted."""

    @property
    def number(self) -> int | Literal["all"]:
        """How many devices this asks for."""
        return len(self.device_ids) or (1 if self.count is None else self.count)

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `devices: [{capabilities: [gpu], count: 1}]`"

    @model_validator(mode="after")
    def _known(self) -> Device:
        if "gpu" not in self.capabilities:
            raise refuse(
                f"no device of the kind `{', '.join(self.capabilities)}` can be reserved",
                "write `capabilities: [gpu]`",
            )
        if self.driver not in (None, "nvidia"):
            raise refuse(
                f"no device of the driver `{self.driver}` can be reserved",
                "write `driver: nvidia`, or leave it out",
            )
        if self.count is not None and self.device_ids:
            raise refuse("both `count` and `device_ids` are given", "keep one of them")
        return self


class Reservations(Model):
    """What an instance is promised; a service that does not fit is refused before anything starts."""

    cpus: Cpus | None = None
    """Cores."""
    memory: Size | None = None
    """Memory."""
    devices: tuple[Device, ...] = ()
    """GPUs."""

    @property
    def device_ids(self) -> tuple[str, ...]:
        """The very devices that are asked for; none where any will do."""
        return tuple(name for device in self.devices for name in device.device_ids)

    @property
    def gpus(self) -> int | Literal["all"]:
        """How many GPUs are reserved."""
        numbers = [device.number for device in self.devices]
        return "all" if "all" in numbers else sum(number for number in numbers if number != "all")


class Limits(Model):
    """What an instance may use at most. Checked against what it reserves; not enforced yet."""

    cpus: Cpus | None = None
    """Cores."""
    memory: Size | None = None
    """Memory."""
    pids: Count | None = None
    """Processes and threads. Refused: nothing counts them yet."""


class Resources(Model):
    """What an instance is promised, and what it may use at most."""

    reservations: Reservations = Reservations()
    """What an instance is promised."""
    limits: Limits = Limits()
    """What an instance may use at most."""


class UpdateConfig(Model):
    """How instances of a new revision replace the old ones."""

    parallelism: Count = 1
    """How many at a time; 0 means all."""
    delay: Duration = 0.0
    """Time between one group and the next."""
    failure_action: Literal["continue", "rollback", "pause"] = "rollback"
    """What follows when more of them fail than may. Compose pauses; Backstay goes back to what worked."""
    monitor: Duration = 5.0
    """How long each new instance is watched after it was ready, before it counts as good."""
    max_failure_ratio: Annotated[
        float, BeforeValidator(read_ratio), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
    ] = 0.0
    """The part of the instances that may fail."""
    order: Literal["stop-first", "start-first"] = "stop-first"
    """Whether the old instance stops before the new one starts, or after it has been watched.
    Always `stop-first` where a port is given by number or named by another service."""


class RollbackConfig(Model):
    """How instances of the last good revision come back."""

    parallelism: Count = 0
    """How many at a time; 0 means all."""
    delay: Duration = 0.0
    """Time between one group and the next."""
    failure_action: Literal["continue", "pause"] = "pause"
    """What follows when going back fails as well."""
    monitor: Duration = 5.0
    """How long each instance is watched before it counts as good."""
    max_failure_ratio: Annotated[
        float, BeforeValidator(read_ratio), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
    ] = 0.0
    """The part of the instances that may fail."""
    order: Literal["stop-first", "start-first"] = "stop-first"
    """Whether one instance stops before the other starts, or after.
    `start-first` where the update was `start-first`."""


class RestartPolicy(Model):
    """When and how an instance is started again after it ended; it goes before `restart`."""

    condition: Literal["none", "on-failure", "any"] = "any"
    """`none`: never; `on-failure`: when it failed; `any`: whenever it ended."""
    delay: Duration | None = None
    """Time before the second restart in a row; the first is at once, later ones wait ever longer."""
    max_attempts: Count | None = None
    """Restarts without success in between before giving up; none means never."""
    window: Duration | None = None
    """How long an instance must live for its start to count as a success."""


class Deploy(Model):
    """How many instances, what they hold of the machine, how a new revision takes over."""

    replicas: Count = 1
    """How many instances run."""
    resources: Resources = Resources()
    """What an instance is promised, and what it may use at most."""
    update_config: UpdateConfig = UpdateConfig()
    """How instances of a new revision replace the old ones."""
    rollback_config: RollbackConfig = RollbackConfig()
    """How instances of the last good revision come back."""
    restart_policy: RestartPolicy | None = None
    """When an instance is started again; it goes before `restart`."""

    @model_validator(mode="after")
    def _replicas_in_reach(self) -> Deploy:
        if self.replicas > 10_000:
            raise refuse(
                f"{spelling(self.replicas)} replicas are more than one fleet can hold", "the most is 10000"
            )
        return self
