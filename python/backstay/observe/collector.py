"""Our series in prometheus_client's own registries.

A program that embeds a fleet registers a `FleetCollector` and then shows the fleet's series beside its own:
the same ones that the gateway's `/metrics` has.

    from prometheus_client import REGISTRY
    REGISTRY.register(FleetCollector())
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from backstay.client import wire
from backstay.client.sockets import GATEWAY, STATE_DIR, connect
from backstay.errors import BackstayError, BadAnswer

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator, Sequence

__all__ = ["FleetCollector", "metric"]


def metric(
    name: str,
    help_text: str,
    kind: str,
    label_names: Sequence[str],
    samples: Iterable[tuple[str, Sequence[str], str | None, float]],
) -> Metric:
    """One family of the Rust registry as prometheus_client has it."""
    family = Metric(name, help_text, kind)
    for suffix, values, bound, value in samples:
        labels = dict(zip(label_names, values, strict=True))
        if bound is not None:
            labels["le"] = bound
        family.add_sample(name + suffix, labels, value)
    return family


class FleetCollector:
    """The series of a running fleet, asked of its gateway at each scrape.

    While the fleet is down it offers `backstay_fleet_up 0` and nothing else: a program's own metrics must not
    fail with its fleet.
    """

    CHUNK = 256 * 1024

    def __init__(self, state_dir: str | os.PathLike[str] = STATE_DIR, *, timeout: float = 5.0) -> None:
        """Collect from the fleet whose state lies in `state_dir`; wait at most `timeout` seconds for it."""
        self._socket = Path(state_dir) / GATEWAY
        self._timeout = timeout

    def describe(self) -> list[Metric]:
        """Nothing: what there is depends on the fleet, which need not run yet."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family that the gateway shows, after whether it answered at all."""
        try:
            families = list(text_string_to_metric_families(self._fetch()))
        except (BackstayError, OSError, ValueError):
            families = []
        up = Metric("backstay_fleet_up", "Whether the fleet's gateway answers.", "gauge")
        up.add_sample("backstay_fleet_up", {}, float(bool(families)))
        yield up
        yield from families

    def _fetch(self) -> str:
        response, body = wire.Response(), bytearray()
        with connect(self._socket, timeout=self._timeout) as connection:
            connection.sendall(wire.encode("GET", "/metrics", headers={"accept": "text/plain"}))
            while not response.done:
                body += response.feed(connection.recv(self.CHUNK))
        if response.status != 200:
            raise BadAnswer(f"the gateway answered HTTP {response.status}")
        return body.decode()
