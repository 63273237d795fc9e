"""Everything backstay raises, as one tree.

    BackstayError
    ├── ConfigError             the stack file, or another input, is wrong
    │   └── ConfigErrors        all that is wrong with a stack file, each with its places
    ├── PackageError            a package could not be found, built or installed
    ├── ResourceError
    │   ├── DoesNotFit          a reservation that the ledger refuses (says who holds what)
    │   ├── PortsExhausted      every port of the range is held or in quarantine
    │   ├── PortHeld            the port asked for by number is held
    │   └── RegistryFull        the registry holds as many instances as it may
    ├── HolderError
    │   ├── AlreadyHeld         the holder has a reservation in this pool already
    │   └── NotHeld             the holder has none (also: KeyError)
    ├── CycleError              services depend on one another in a circle (also: ValueError)
    ├── UnknownService          a name that is not there (also: KeyError)
    ├── MetricError             a metric's definition or use is wrong (also: ValueError)
    ├── WatchLagged             a watcher fell behind and must take a new snapshot
    ├── SnapshotError           a cache's snapshot is damaged, or is none
    ├── TooLarge                an entry costs more than the cache may hold (also: ValueError)
    ├── StateError              the state of a fleet could not be read or written
    ├── KeeperError             the keeper could not be started or reached
    ├── DaemonNotRunning        no daemon answers for this stack file
    ├── DaemonSilent            it does not answer in time
    ├── BadAnswer               what came over a fleet's socket is not what its other end should say
    ├── ApiError                the daemon refuses a request
    ├── DeployFailed            the fleet is not as asked
    └── CallFailed              a tool call ended in an error

The Rust half (`rust/py/src/errors.rs`) raises these very classes; they are declared here so that there is
one file to read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from backstay.config.problems import Problem
    from backstay.deploy.status import DeployResult

__all__ = [
    "AlreadyHeld",
    "ApiError",
    "BackstayError",
    "BadAnswer",
    "CallFailed",
    "ConfigError",
    "ConfigErrors",
    "CycleError",
    "DaemonNotRunning",
    "DaemonSilent",
    "DeployFailed",
    "DoesNotFit",
    "HolderError",
    "KeeperError",
    "MetricError",
    "NotHeld",
    "PackageError",
    "PortHeld",
    "PortsExhausted",
    "RegistryFull",
    "ResourceError",
    "SnapshotError",
    "StateError",
    "TooLarge",
    "UnknownService",
    "WatchLagged",
]


class BackstayError(Exception):
    """The root of the tree.

    Attributes:
        hint: What to do about it, if there is something to say.
    """

    hint: str | None = None

    def __init__(self, message: str = "", *, hint: str | None = None) -> None:
        super().__init__(message)
        if hint is not None:
            self.hint = hint


class ConfigError(BackstayError):
    """The stack file, or another input, is wrong."""


class ConfigErrors(ConfigError):
    """All that is wrong with a stack file, reported at once.

    Its text is what a person should see: for each problem what is wrong (`error:`), every place it is at,
    and what would be right (`hint:`).

    Attributes:
        problems: What is wrong, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(problem.report() for problem in problems))
        self.problems = tuple(problems)


class PackageError(BackstayError):
    """A package could not be found, built or installed.

    Attributes:
        step: Which step failed.
        tail: The last lines of its output.
    """

    def __init__(self, message: str = "", *, step: str = "", tail: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.tail = tail


class ResourceError(BackstayError):
    """Something the machine has too little of."""


class DoesNotFit(ResourceError):
    """A reservation that does not fit into what is left.

    Attributes:
        pool: The pool that refused.
        dimension: What there is too little of: `cpus`, `memory`, `storage` or `gpus`.
        asked: How much was asked for, in the ledger's exact units (milli-CPU, bytes, thousandths of a GPU).
        free: How much is left, in the same units.
        capacity: How much there is in all.
        holders: The largest holders of it, most first, as `(holder, amount)`.
    """

    def __init__(
        self,
        message: str = "",
        pool: str = "",
        dimension: str = "",
        asked: int = 0,
        free: int = 0,
        capacity: int = 0,
        holders: Sequence[tuple[str, int]] = (),
    ) -> None:
        super().__init__(message)
        self.pool = pool
        self.dimension = dimension
        self.asked = asked
        self.free = free
        self.capacity = capacity
        self.holders = tuple(holders)


class PortsExhausted(ResourceError):
    """Every port of the range is held, in quarantine, or used by a stranger."""


class PortHeld(ResourceError):
    """The port asked for by number is held.

    Attributes:
        port: The port.
        holder: Who holds it; None for a stranger on the machine.
    """

    def __init__(self, message: str = "", port: int = 0, holder: str | None = None) -> None:
        super().__init__(message)
        self.port = port
        self.holder = holder


class RegistryFull(ResourceError):
    """The registry holds as many instances as it may."""


class HolderError(BackstayError):
    """A holder's reservation is not what the call takes it for."""


class AlreadyHeld(HolderError):
    """The holder has a reservation in this pool already."""


class NotHeld(HolderError, KeyError):
    """The holder has no reservation, or it was given back already."""

    __str__ = Exception.__str__


class CycleError(BackstayError, ValueError):
    """Services depend on one another in a circle.

    Attributes:
        path: The circle in names, the first one repeated at the end: each depends on the next.
    """

    def __init__(self, message: str = "", path: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.path = tuple(path)


class UnknownService(BackstayError, KeyError):
    """A name that is not there."""

    __str__ = Exception.__str__


class MetricError(BackstayError, ValueError):
    """A metric's definition or use is wrong."""


class WatchLagged(BackstayError):
    """A watcher fell behind its bounded queue: take a new snapshot and go on from there.

    Attributes:
        missed: How many changes were dropped.
    """

    def __init__(self, message: str = "", missed: int = 0) -> None:
        super().__init__(message)
        self.missed = missed


class SnapshotError(BackstayError):
    """A cache's snapshot is damaged, or is none; nothing of it was loaded."""


class TooLarge(BackstayError, ValueError):
    """An entry costs more than the cache may hold in all."""


class StateError(BackstayError):
    """The state of a fleet could not be read or written."""


class KeeperError(BackstayError):
    """The keeper could not be started or reached."""


class DaemonNotRunning(BackstayError):
    """No daemon answers for this stack file."""


class DaemonSilent(BackstayError):
    """The daemon took a request and did not answer in time."""


class BadAnswer(BackstayError):
    """What came over a fleet's socket is not what its other end should say."""


class ApiError(BackstayError):
    """The daemon refuses a request.

    Attributes:
        where: Which part of the request, or of the fleet, it is about.
        status: The HTTP status of the answer.
    """

    def __init__(
        self, message: str = "", *, where: str | None = None, hint: str | None = None, status: int = 500
    ) -> None:
        super().__init__(message, hint=hint)
        self.where = where
        self.status = status


class DeployFailed(BackstayError):
    """The fleet is not as asked.

    Attributes:
        result: How the deploy ended, service by service.
    """

    def __init__(
        self, message: str = "", *, result: DeployResult | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.result = result


class CallFailed(BackstayError):
    """A tool call ended in an error.

    Attributes:
        code: The JSON-RPC error code, if the answer had one.
        data: The JSON-RPC error's data, decoded.
    """

    def __init__(
        self, message: str = "", code: int | None = None, data: object = None, *, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.data = data
