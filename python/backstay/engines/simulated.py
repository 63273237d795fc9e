"""An engine that runs nothing: it tells of instances as if they ran, in virtual time.

Everything is decided by a script (`Behaviour` by instance and attempt) and a clock that only `advance`
moves, so a scenario of hours takes a millisecond and is the same each time.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from backstay.engines.base import Deliver
    from backstay.engines.spec import InstanceSpec, Routes, Trouble

__all__ = ["Behaviour", "SimulatedEngine"]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How one run of an instance goes; times are seconds since its spawn."""

    spawns: bool = True
    ready_after: float | None = 0.1
    """When its probe passes; never where none."""
    speaks_after: float | None = 0.05
    """How long a handshake takes; none where it is refused."""
    exits_after: float | None = None
    exit_code: int = 1
    stops_within: float = 0.05


Script = Callable[["InstanceSpec", int], Behaviour]
"""Says how the nth run (from 0) of an instance goes."""


@dataclass(slots=True)
class _Run:
    spec: InstanceSpec
    behaviour: Behaviour
    pid: int
    restarts: int = 0
    state: str = "starting"
    stopping: bool = False
    again: bool = False  # to be started again when it has stopped


class SimulatedEngine:
    """Fulfils `Engine`. `advance` lets time pass; `now` is the time there is."""

    def __init__(self, script: Script | None = None, *, remote: Callable[[str], bool] | None = None) -> None:
        self.now = 0.0
        self.routes: Routes | None = None
        self.running: dict[str, _Run] = {}
        self.closed = False
        self.gauges: dict[tuple[str, str], float] = {}
        self.counts: dict[tuple[str, str], float] = {}
        self.observed: dict[tuple[str, str], list[float]] = {}
        self._script = script or (lambda spec, attempt: Behaviour())
        self._remote = remote or (lambda instance: True)
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._pid = 1000
        self._seq = 0
        self._deliver: Deliver | None = None

    # The clock

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Have something happen after `delay` seconds of virtual time."""
        self._count += 1
        heapq.heappush(self._due, (self.now + max(0.0, delay), self._count, action))

    def step(self) -> bool:
        """Go to the next thing that is due and let it happen; False if there is none."""
        if not self._due:
            return False
        self.now, _, action = heapq.heappop(self._due)
        action()
        return True

    def advance(self, seconds: float) -> None:
        """Let time pass, and all that is due in it happen."""
        end = self.now + seconds
        while self._due and self._due[0][0] <= end:
            self.step()
        self.now = end

    # The engine

    def subscribe(self, deliver: Deliver) -> None:
        """Tell of what runs, then of what happens."""
        self._deliver = deliver
        self.closed = False
        for run in tuple(self.running.values()):
            alive = run.state in ("starting", "ready", "stopping")
            self._tell(
                "instance.adopted",
                run.spec,
                state=run.state,
                revision=run.spec.revision,
                restarts=run.restarts,
                pid=run.pid if alive else None,
                started_at=0.0,
            )
        self._tell("keeper.adopted_all")
        for run in tuple(self.running.values()):
            if run.spec.stdio == "mcp" and run.state in ("starting", "ready"):
                self._handshake(run, resumed=True)

    def start(self, spec: InstanceSpec) -> None:
        """Begin a run by the script."""
        self._spawn(spec, 0)

    def stop(self, instance: str) -> None:
        """End a run; one that is not there counts as stopped."""
        run = self.running.get(instance)
        if run is None:
            self.at(0.0, lambda: self._tell("instance.stopped", name=instance))
        elif run.state in ("failed", "completed", "backoff"):
            run.state = "stopped"
            self.at(0.0, lambda: self._tell("instance.stopped", run.spec))
        elif run.stopping:
            run.again = False  # the later order counts, as it does for the keeper
        else:
            run.stopping, run.state = True, "stopping"
            self.at(run.behaviour.stops_within, lambda: self._stopped(run))

    def restart(self, instance: str) -> None:
        """End a run and begin another."""
        run = self.running.get(instance)
        if run is not None and not run.stopping:
            run.again = True
            self.stop(instance)

    def remove(self, instance: str) -> None:
        """Forget a run."""
        run = self.running.get(instance)
        if run is not None and run.state in ("stopped", "failed", "completed"):
            del self.running[instance]

    def set_routes(self, routes: Routes) -> None:
        """Keep the table for whoever looks at it."""
        self.routes = routes

    def connect(self, instance: str) -> None:
        """Answer a handshake over HTTP."""
        run = self.running.get(instance)
        if run is not None:
            self._handshake(run, resumed=False)
        elif self._remote(instance):
            self.at(0.02, lambda: self._tell("server.ready", name=instance, tools=1))
        else:
            self.at(0.02, lambda: self._tell("server.failed", name=instance, reason="connection refused"))

    def examine(self, service: str, patience: float) -> bytes | None:
        """There is no server to be asked."""
        return None

    def troubles(self) -> list[Trouble]:
        """No call is ever made here."""
        return []

    def gauge(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Keep the last value of a series, for a test to look at."""
        self.gauges[name, of] = value

    def count(self, name: str, help: str, label: str, of: str, amount: float) -> None:
        """Keep the count for whoever looks at it."""
        self.counts[name, of] = self.counts.get((name, of), 0.0) + amount

    def observe(self, name: str, help: str, label: str, of: str, value: float) -> None:
        """Keep the observation for whoever looks at it."""
        self.observed.setdefault((name, of), []).append(value)

    def metrics(self) -> bytes:
        """There are no series."""
        return b""

    def close(self) -> None:
        """Deliver nothing any more."""
        self._deliver = None
        self.closed = True

    def shut_down(self) -> None:
        """End all at once."""
        self.running.clear()
        self.close()

    def kill(self, instance: str, code: int = 137) -> None:
        """Let an instance die now, as a test's hand."""
        self._exited(self.running[instance], code)

    # What happens

    def _spawn(self, spec: InstanceSpec, restarts: int) -> None:
        behaviour = self._script(spec, restarts)
        self._pid += 1
        run = _Run(spec, behaviour, self._pid, restarts)
        self.running[spec.name] = run
        if not behaviour.spawns:
            run.state = "failed"
            self.at(0.0, lambda: self._tell("instance.failed", spec, reason="no such program"))
            return
        self.at(0.0, lambda: self._spawned(run))

    def _spawned(self, run: _Run) -> None:
        if not self._is_current(run):
            return
        spec, behaviour = run.spec, run.behaviour
        self._tell(
            "instance.spawned",
            spec,
            pid=run.pid,
            revision=spec.revision,
            restarts=run.restarts,
            started_at=0.0,
        )
        if behaviour.ready_after is not None:
            self.at(behaviour.ready_after, lambda: self._became_ready(run))
        if behaviour.exits_after is not None:
            self.at(behaviour.exits_after, lambda: self._exited(run, behaviour.exit_code))
        if spec.stdio == "mcp":
            self._handshake(run, resumed=False)

    def _is_current(self, run: _Run) -> bool:
        return (
            self.running.get(run.spec.name) is run and run.state in ("starting", "ready") and not run.stopping
        )

    def _became_ready(self, run: _Run) -> None:
        if self._is_current(run):
            run.state = "ready"
            self._tell("instance.ready", run.spec)

    def _handshake(self, run: _Run, *, resumed: bool) -> None:
        takes = run.behaviour.speaks_after

        def answer() -> None:
            if not self._is_current(run):
                return
            if takes is None:
                self._tell("server.failed", run.spec, reason="the answer is not MCP")
            else:
                self._tell("server.ready", run.spec, tools=1, resumed=resumed)

        self.at(0.01 if takes is None else takes, answer)

    def _stopped(self, run: _Run) -> None:
        if self.running.get(run.spec.name) is not run:
            return
        if run.again:
            self._tell("instance.stopped", run.spec)
            self._spawn(run.spec, 0)
            return
        run.state = "stopped"
        self._tell("instance.stopped", run.spec)

    def _exited(self, run: _Run, code: int) -> None:
        if not self._is_current(run):
            return
        policy = run.spec.restart
        again = policy.condition in ("always", "unless-stopped") or (
            policy.condition == "on-failure" and code != 0
        )
        gave_up = again and policy.max_attempts is not None and run.restarts >= policy.max_attempts
        delay = None
        if again and not gave_up:
            delay = 0 if run.restarts == 0 else min(policy.delay_ms * 2**run.restarts, policy.max_delay_ms)
        run.state = "backoff" if delay is not None else "completed" if code == 0 else "failed"
        self._tell(
            "instance.exited", run.spec, pid=run.pid, code=code, will_restart_in_ms=delay, tail="last words"
        )
        if delay is not None:
            self.at(delay / 1000, lambda: self._again(run))
        elif code != 0:
            self._tell("instance.failed", run.spec, reason="gave up" if gave_up else f"exited with {code}")

    def _again(self, run: _Run) -> None:
        if self.running.get(run.spec.name) is run and run.state == "backoff":
            self._spawn(run.spec, run.restarts + 1)

    def _tell(self, kind: str, spec: InstanceSpec | None = None, *, name: str = "", **fields: Any) -> None:
        if self._deliver is None:
            return
        self._seq += 1
        event: dict[str, Any] = {"seq": self._seq, "at": int(self.now * 1000), "kind": kind, **fields}
        if spec is not None:
            event |= {"instance": spec.name, "service": spec.service}
        elif name:
            event |= {"instance": name, "service": name.rpartition(".")[0]}
        self._deliver([event])
