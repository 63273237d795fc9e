"""`BlockingFleet`: `Fleet` without `await`, made from its very methods.

Each method runs on an event loop in a thread of its own, so it may be called from any thread, also from one
that runs an event loop already. Types come along: `twin` and `twin_of_stream` keep the parameters of what
they wrap.
"""

from __future__ import annotations

import asyncio
import functools
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from backstay.fleet import Described, Fleet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from backstay.config import Stack

P = ParamSpec("P")
R = TypeVar("R")


class Loop:
    """An event loop in a thread, started when it is first needed."""

    def __init__(self) -> None:
        self._starting = threading.Lock()
        """Guards the start only: two threads may make the first call at once."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` to its end; an interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._running())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                loop = asyncio.new_event_loop()
                thread = threading.Thread(target=_serve, args=(loop,), name="backstay-fleet", daemon=True)
                thread.start()
                weakref.finalize(self, _stop, loop)
                self._loop = loop
            return self._loop

    def close(self) -> None:
        """End the thread; the next `run` starts another."""
        with self._starting:
            loop, self._loop = self._loop, None
        if loop is not None:
            _stop(loop)


def _stop(loop: asyncio.AbstractEventLoop) -> None:
    with suppress(RuntimeError):  # It has ended already.
        loop.call_soon_threadsafe(loop.stop)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()


def twin(
    method: Callable[Concatenate[Fleet, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[BlockingFleet, P], R]:
    """Make the blocking form of a method of `Fleet`."""

    @functools.wraps(method)
    def blocking(self: BlockingFleet, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._loop.run(method(self._fleet, *args, **kwargs))

    return blocking


def twin_of_stream(
    method: Callable[Concatenate[Fleet, P], AsyncIterator[R]],
) -> Callable[Concatenate[BlockingFleet, P], Iterator[R]]:
    """Make the blocking form of a method of `Fleet` that yields."""

    @functools.wraps(method)
    def blocking(self: BlockingFleet, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        items = method(self._fleet, *args, **kwargs)
        try:
            while True:
                try:
                    yield self._loop.run(_next(items))
                except StopAsyncIteration:
                    return
        finally:
            if (close := getattr(items, "aclose", None)) is not None:
                self._loop.run(close())

    return blocking


async def _next(items: AsyncIterator[R]) -> R:
    return await anext(items)


class BlockingFleet(Described):
    """One fleet, for programs that do not use asyncio: all of `Fleet`, without `await`.

    Example:
        ```python
        with BlockingFleet.load("backstay.yaml") as fleet:
            fleet.up()
            print(fleet.call("time", "get_current_time", {"timezone": "UTC"}).text)
        ```
    """

    def __init__(self, state_dir: Path, stack: Stack | None = None) -> None:
        super().__init__(state_dir, stack)
        self._fleet = Fleet(state_dir, stack)
        self._loop = Loop()

    def __enter__(self) -> Self:
        """Look whether the fleet runs already."""
        self._loop.run(self._fleet.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Bring down what was not running before."""
        try:
            self._loop.run(self._fleet.__aexit__(kind, error, trace))
        finally:
            self._loop.close()

    running = twin(Fleet.running)
    last_seq = twin(Fleet.last_seq)
    up = twin(Fleet.up)
    begin_up = twin(Fleet.begin_up)
    wait = twin(Fleet.wait)
    down = twin(Fleet.down)
    start = twin(Fleet.start)
    stop = twin(Fleet.stop)
    restart = twin(Fleet.restart)
    scale = twin(Fleet.scale)
    begin = twin(Fleet.begin)
    plan = twin(Fleet.plan)
    status = twin(Fleet.status)
    call = twin(Fleet.call)
    tools = twin(Fleet.tools)
    examine = twin(Fleet.examine)
    logs = twin_of_stream(Fleet.logs)
    events = twin_of_stream(Fleet.events)
    metrics = twin(Fleet.metrics)
