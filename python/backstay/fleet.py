"""`Fleet`: a fleet from a program. The command line's `up`, `call` and their kin stand on it too.

A `Fleet` holds no process and no connection: it reads the stack file, starts the keeper where none runs,
and speaks to the daemon over `.backstay/control.sock` and to the gateway over its trusted socket. Its
blocking twin is `backstay.BlockingFleet`.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from backstay.client.aio import AsyncControl, exchange
from backstay.client.keeper import ended, keeper_of
from backstay.client.patience import Patience
from backstay.client.sockets import GATEWAY, STATE_DIR
from backstay.errors import (
    ApiError,
    BackstayError,
    BadAnswer,
    CallFailed,
    DaemonNotRunning,
    DaemonSilent,
    DeployFailed,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from backstay.api.models import Accepted, Event, Examination
    from backstay.client.mcp import CallResult, Tool
    from backstay.config import Stack
    from backstay.deploy.status import DeployResult, FleetPlan, FleetStatus, LogLine


ANSWER_S = 10.0
"""So long a daemon has to say that it is there."""


class Described:
    """What `Fleet` and `BlockingFleet` share: where a fleet's state is, and what its stack file says."""

    def __init__(self, state_dir: Path, stack: Stack | None = None) -> None:
        self.state_dir = state_dir
        self._stack = stack

    @classmethod
    def load(
        cls,
        *files: str | os.PathLike[str],
        project_name: str | None = None,
        profiles: Sequence[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> Self:
        """Read one stack file, or several that are merged in order; nothing is started.

        Args:
            files: The stack files; `backstay.yaml` in the working directory if none is given.
            project_name: The fleet's name, where not the file's.
            profiles: The profiles to enable.
            environ: What `${…}` in the file reads; this process's environment by default.

        Raises:
            ConfigError: The file is wrong; the error holds all problems with their places.
        """
        from backstay.config import load

        stack = load(
            [Path(file) for file in files] or [Path("backstay.yaml")],
            environ=os.environ if environ is None else environ,
            profiles=tuple(profiles),
            project_name=project_name,
        )
        return cls(stack.state_dir, stack)

    @classmethod
    def attach(cls, directory: str | os.PathLike[str] = ".") -> Self:
        """Take the fleet of a directory without reading its stack file: all but `up` and `plan`."""
        return cls(Path(directory).absolute() / STATE_DIR)

    @property
    def stack(self) -> Stack:
        """What the stack file says.

        Raises:
            BackstayError: It was not read: the fleet was attached to.
        """
        if self._stack is None:
            raise BackstayError(
                "the stack file of this fleet was not read", hint="use `load` in place of `attach`"
            )
        return self._stack

    def __repr__(self) -> str:
        """Say where the fleet is."""
        return f"<{type(self).__name__} in {self.state_dir.parent}>"


class Fleet(Described):
    """One fleet, for programs that use asyncio.

    As a context manager it leaves things as it found them: a fleet that was not running when the block was
    entered is brought down at its end; one that ran goes on.

    Example:
        ```python
        async with Fleet.load("backstay.yaml") as fleet:
            await fleet.up()
            answer = await fleet.call("time", "get_current_time", {"timezone": "UTC"})
            print(answer.text)
        ```
    """

    def __init__(self, state_dir: Path, stack: Stack | None = None) -> None:
        super().__init__(state_dir, stack)
        self._control = AsyncControl(state_dir)
        self._was_running = False

    async def __aenter__(self) -> Self:
        """Look whether the fleet runs already."""
        self._was_running = await self.running()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring down what was not running before."""
        if not self._was_running:
            await self.down()

    async def running(self) -> bool:
        """Whether a daemon answers for this fleet."""
        try:
            await self._control.get("/api/version", timeout=ANSWER_S)
        except DaemonNotRunning:
            return False
        return True

    async def last_seq(self) -> int:
        """Return the number of the newest event: `events(after=…)` begins with what happens next."""
        return int((await self._control.get("/api/version"))["seq"])

    async def up(self, *services: str, atomic: bool = False) -> DeployResult:
        """Bring the fleet to what its stack says and wait until all is ready.

        Args:
            services: Only these, and what they depend on; the others stay as they are. All if none is named.
            atomic: Go back to what ran before if any service fails.

        Raises:
            DeployFailed: A service is not as asked; `result` says which and why. The others run.
        """
        return _succeeded(await self.wait((await self.begin_up(*services, atomic=atomic)).deploy))

    async def begin_up(self, *services: str, atomic: bool = False) -> Accepted:
        """Ask for what `up` does and return as soon as that is accepted; `events` or `wait` tell its end."""
        from backstay.api.models import Accepted
        from backstay.config.secrets import secret_environment
        from backstay.daemon.launch import ensure_keeper
        from backstay.packages.settings import inherited

        await asyncio.to_thread(ensure_keeper, self.stack)
        request = {
            "stack": self.stack.model_dump(mode="json"),
            "services": services,
            "atomic": atomic,
            "environ": inherited(os.environ) | secret_environment(self.stack, os.environ),
        }
        return Accepted.model_validate(await self._control.post("/api/up", request))

    async def wait(self, deploy: str) -> DeployResult:
        """Wait for the end of a deploy, also through a restart of the daemon."""
        from backstay.deploy.status import DeployResult

        patience = Patience()
        while True:
            try:
                answer = await self._control.get(f"/api/deploys/{quote(deploy, safe='')}", timeout=None)
                return DeployResult.model_validate(answer)
            except (BadAnswer, ConnectionError):
                await patience.wait()

    async def down(self) -> None:
        """Stop all instances, dependents first, and end daemon and keeper; nothing to do if none runs.

        Where the daemon does not answer, the keeper is asked to end: it ends what it holds.
        """
        keeper = keeper_of(self.state_dir)
        try:
            await self._control.get("/api/version", timeout=ANSWER_S)
            await self._control.post("/api/down", timeout=None)
        except DaemonNotRunning:
            if keeper is None:
                return
            os.kill(keeper, signal.SIGTERM)
        except (BadAnswer, ConnectionError):
            pass  # It ended before it answered.
        except DaemonSilent:
            if keeper is None:
                raise
            os.kill(keeper, signal.SIGTERM)
        await ended(keeper)

    async def start(self, service: str) -> DeployResult:
        """Start a stopped or failed service, and what it depends on; raises as `up` does."""
        return await self._deploy(service, "start")

    async def stop(self, service: str) -> DeployResult:
        """Stop a service until it is started again."""
        return await self._deploy(service, "stop")

    async def restart(self, service: str) -> DeployResult:
        """Restart the instances of a service; raises as `up` does."""
        return await self._deploy(service, "restart")

    async def scale(self, service: str, replicas: int) -> DeployResult:
        """Set how many instances a service has; raises as `up` does."""
        return await self._deploy(service, "scale", {"replicas": replicas})

    async def begin(self, service: str, verb: str, body: Mapping[str, Any] | None = None) -> Accepted:
        """Ask for `start`, `stop`, `restart` or `scale`; return as soon as that is accepted."""
        from backstay.api.models import Accepted

        path = f"/api/services/{quote(service, safe='')}/{verb}"
        return Accepted.model_validate(await self._control.post(path, body))

    async def _deploy(self, service: str, verb: str, body: Mapping[str, Any] | None = None) -> DeployResult:
        return _succeeded(await self.wait((await self.begin(service, verb, body)).deploy))

    async def plan(self, *services: str) -> FleetPlan:
        """Say what `up` would change, and change nothing."""
        from backstay.config.secrets import secret_environment
        from backstay.deploy.status import FleetPlan

        request = {
            "stack": self.stack.model_dump(mode="json"),
            "services": services,
            "environ": secret_environment(self.stack, os.environ),
        }
        try:
            return FleetPlan.model_validate(await self._control.post("/api/plan", request))
        except DaemonNotRunning:
            from backstay.api.selection import select
            from backstay.deploy.offline import plan_from_nothing

            return plan_from_nothing(select(None, self.stack, services)[0])

    async def status(self) -> FleetStatus:
        """Say how the fleet is."""
        from backstay.deploy.status import FleetStatus

        return FleetStatus.model_validate(await self._control.get("/api/status"))

    async def call(
        self,
        service: str,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        timeout: float = 60.0,
        raise_on_error: bool = True,
    ) -> CallResult:
        """Call a tool of a server.

        Args:
            service: The server.
            tool: The tool, by the server's own name for it.
            arguments: Its arguments.
            timeout: Seconds to wait for the answer.
            raise_on_error: Whether a result that says `isError` is raised; otherwise it is returned.

        Raises:
            CallFailed: The call, or the tool, failed.
        """
        from backstay.client.mcp import session

        async with session(self.state_dir, service, timeout=timeout) as client:
            result = await client.call(tool, arguments)
        if result.is_error and raise_on_error:
            raise CallFailed(result.text or f"`{tool}` failed without a reason", data=result.raw)
        return result

    async def tools(self, service: str | None = None) -> list[Tool]:
        """List the tools of one server, or of all under the fleet's names for them."""
        from backstay.client.mcp import session

        async with session(self.state_dir, service) as client:
            return await client.tools()

    async def examine(self, service: str, *, patience: float = 10.0) -> Examination:
        """Check whether a server that is ready keeps to the protocol; changes nothing in it."""
        from backstay.api.models import Examination

        path = f"/api/services/{quote(service, safe='')}/examine"
        return Examination.model_validate(
            await self._control.post(path, {"patience": patience}, timeout=None)
        )

    async def logs(
        self, *services: str, follow: bool = False, tail: int | None = None
    ) -> AsyncIterator[LogLine]:
        """Yield what instances wrote, and go on with what they write if `follow`.

        Args:
            services: Whose; of all if none is named.
            follow: Whether to go on. Following survives a restart of the daemon and ends with the fleet.
            tail: Only the last lines of each instance.
        """
        from backstay.deploy.status import LogLine

        patience = Patience()
        while True:
            query: dict[str, Any] = {"service": services, "follow": int(follow)}
            if tail is not None:
                query["tail"] = tail
            try:
                async for line in self._control.stream(f"/api/logs?{urlencode(query, doseq=True)}"):
                    patience.renew()
                    yield LogLine.model_validate(line)
                return
            except (BadAnswer, ConnectionError):
                if not follow:
                    raise
                tail = 0
                await patience.wait()

    async def events(self, after: int = 0, *, follow: bool = False) -> AsyncIterator[Event]:
        """Yield what happened, oldest first, and go on with what happens if `follow`.

        Args:
            after: Begin with the event after the one of this number; the `seq` of the last one seen resumes.
            follow: Whether to go on. Following survives a restart of the daemon and ends with the fleet.
        """
        from backstay.api.models import Event

        patience = Patience()
        while True:
            try:
                async for item in self._control.stream(f"/api/events?after={after}&follow={int(follow)}"):
                    patience.renew()
                    event = Event.model_validate(item)
                    after = event.seq
                    yield event
                    if event.kind == "fleet.down":
                        return
                if not follow:
                    return
            except (BadAnswer, ConnectionError):
                if not follow:
                    raise
            await patience.wait()

    async def metrics(self) -> str:
        """Return the fleet's metrics in the Prometheus text format."""
        async with exchange(
            self.state_dir / GATEWAY, "GET", "/metrics", headers={"accept": "text/plain"}
        ) as answer:
            body = (await answer.read()).decode()
        if answer.status >= 400:
            raise ApiError(f"the gateway answered HTTP {answer.status}", status=answer.status)
        return body


def _succeeded(result: DeployResult) -> DeployResult:
    if result.ok:
        return result
    names = ", ".join([*result.failed, *result.waiting])
    reasons = "; ".join(f"{name}: {failure.reason}" for name, failure in result.failed.items())
    raise DeployFailed(f"not as asked: {names}" + (f" ({reasons})" if reasons else ""), result=result)
