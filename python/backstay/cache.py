"""The cache: a bounded mapping that finds out by itself what is worth keeping.

It is kept in Rust (`rust/cache`); here is what calls back into Python: loading, once for all who ask, loading
ahead, and files. `cached` puts a cache in front of a function.
"""

# ruff: noqa: D102, D105  # What Rust documents is only typed here.

from __future__ import annotations

import asyncio
import os
import pickle
import threading
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, MutableMapping
from pathlib import Path
from types import GenericAlias
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from backstay._core import CacheCore, CacheStats
from backstay.errors import TooLarge

__all__ = ["Cache", "CacheStats"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
D = TypeVar("D")

_MISSING: Any = object()


class _Flight:
    """One loading on a thread: who loads, and what came of it once the gate is open."""

    __slots__ = ("error", "gate", "thread", "value")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.gate = threading.Lock()
        self.gate.acquire()
        self.value: Any = _MISSING
        self.error: Exception | None = None

    def wait(self, key: object) -> object:
        """What came of it: the value, its failure raised, or `_MISSING` if the loader was interrupted."""
        me = threading.get_ident()
        _waiting[me] = self
        try:
            self._check(me, key)
            with self.gate:
                pass
        finally:
            del _waiting[me]
        if self.error is not None:
            raise self.error
        return self.value

    def _check(self, me: int, key: object) -> None:
        """Refuse to wait for what waits for this thread."""
        flight: _Flight | None = self
        for _ in range(len(_waiting) + 1):
            if flight is None or not flight.gate.locked():
                return
            if flight.thread == me:
                raise RuntimeError(f"the loader of {key!r} waits for itself: it asks for a key that it loads")
            flight = _waiting.get(flight.thread)


class _Task(Generic[V]):
    """One loading on an event loop, and how many wait for it."""

    __slots__ = ("task", "waiting")

    def __init__(self, task: asyncio.Task[V]) -> None:
        self.task = task
        self.waiting = 0


# All loadings under way, by cache and key; a loading keeps its cache alive, so no two have one id.
# Bounded by the threads and tasks that load just now.
_flights: dict[tuple[int, Hashable], _Flight] = {}
_tasks: dict[tuple[asyncio.AbstractEventLoop, int, Hashable], _Task[Any]] = {}
# Which thread waits for which flight: a loader may use another cache.
_waiting: dict[int, _Flight] = {}


if TYPE_CHECKING:
    _Rust = CacheCore
else:

    class _Rust:
        """Rust's class takes what stands here into itself, see `_grow`."""


class Cache(_Rust, MutableMapping[K, V]):  # type: ignore[misc]  # final, and made one with it by `_grow`
    """A mapping that holds up to `capacity` entries, and gives up those least likely to be asked for again.

    Any hashable is a key, any object a value. Safe to share between threads and tasks; no lock is held while
    anybody's `__eq__`, `__del__`, loader or timer runs.

    Args:
        capacity: How many entries; with `cost`, how much they may cost together.
        ttl: Seconds that an entry may stay after it was set.
        idle: Seconds that it may stay unused.
        cost: What an entry costs: `cost(key, value)`, a whole number.
        timer: What tells the time in seconds, instead of the monotonic clock.
        ahead: How many keys `get_or_set` loads ahead, by what followed what before; see `get_or_set`.

    Example:
        >>> cache = Cache(2)
        >>> cache["a"] = 1
        >>> cache.get_or_set("b", str.upper)
        'B'
        >>> cache["c"] = 3
        >>> sorted(cache)
        ['b', 'c']
        >>> cache.stats().evictions
        1
    """

    if TYPE_CHECKING:
        # The methods themselves are Rust's; here is what they mean for this key and value.
        def __init__(
            self,
            capacity: int,
            *,
            ttl: float | None = None,
            idle: float | None = None,
            cost: Callable[[K, V], int] | None = None,
            timer: Callable[[], float] | None = None,
            ahead: int = 0,
        ) -> None: ...
        def __getitem__(self, key: K, /) -> V: ...
        def __setitem__(self, key: K, value: V, /) -> None: ...
        def __delitem__(self, key: K, /) -> None: ...
        def __contains__(self, key: object, /) -> bool: ...
        def __iter__(self) -> Iterator[K]: ...
        def __len__(self) -> int: ...
        @overload
        def get(self, key: K, default: None = None, /) -> V | None: ...
        @overload
        def get(self, key: K, default: V | D, /) -> V | D: ...
        def get(self, key: K, default: object = None, /) -> object: ...
        @overload
        def peek(self, key: K, default: None = None, /) -> V | None: ...
        @overload
        def peek(self, key: K, default: V | D, /) -> V | D: ...
        def peek(self, key: K, default: object = None, /) -> object: ...
        def get_or_set(self, key: K, loader: Callable[[K], V]) -> V: ...
        def setdefault(self, key: K, default: V, /) -> V: ...  # type: ignore[override]
        def get_many(self, keys: list[K], default: Any = None, /) -> list[Any]: ...
        def set_many(self, keys: list[K], values: list[V]) -> None: ...
        def popitem(self) -> tuple[K, V]: ...
        def clear(self) -> None: ...

    @overload
    def pop(self, key: K, /) -> V: ...
    @overload
    def pop(self, key: K, /, default: V | D) -> V | D: ...
    def pop(self, key: K, default: object = _MISSING) -> object:
        """Take out the entry of `key` and give its value; without one `default`, or KeyError."""
        value = self._take(key, default)
        if value is _MISSING:
            raise KeyError(key)
        return value

    async def aget_or_set(self, key: K, loader: Callable[[K], Awaitable[V]]) -> V:
        """`get_or_set` for tasks: of all that ask on one event loop, one loads.

        A task that is cancelled takes nobody with it: the loading goes on while anybody waits for it.
        """
        value = self.get(key, _MISSING)
        if value is not _MISSING:
            await self._aload_ahead(self._follow(key, False), loader)
            return cast("V", value)
        value = await self._join(key, loader)
        await self._aload_ahead(self._follow(key, True), loader)
        return value

    async def _join(self, key: K, loader: Callable[[K], Awaitable[V]]) -> V:
        """Wait for the loading of `key` on this loop, which begins if there is none."""
        loop = asyncio.get_running_loop()
        spot = (loop, id(self), key)
        flight = _tasks.get(spot)
        if flight is None:
            flight = _tasks[spot] = _Task(loop.create_task(self._fetch(spot, loader)))
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.task.done():
                # Nobody may join a loading that is being cancelled.
                _tasks.pop(spot, None)
                flight.task.cancel()

    async def _fetch(
        self, spot: tuple[asyncio.AbstractEventLoop, int, K], loader: Callable[[K], Awaitable[V]]
    ) -> V:
        task = asyncio.current_task()
        try:
            value = await loader(spot[2])
            self._keep(spot[2], value)
            return value
        finally:
            flight = _tasks.get(spot)
            if flight is not None and flight.task is task:
                del _tasks[spot]

    async def _aload_ahead(self, keys: list[K], loader: Callable[[K], Awaitable[V]]) -> None:
        for key in keys:
            try:
                await self._join(key, loader)
            except Exception:
                return  # Whoever asks for it will hear what is wrong.
            self._loaded_ahead(key)

    def _load(self, key: K, loader: Callable[[K], V], ahead: bool = True) -> V:
        """Load what was missed: called by `get_or_set`."""
        spot = (id(self), key)
        while True:
            mine = _Flight()
            # Whoever comes first finds his own flight there; one operation of a dict decides.
            flight = _flights.setdefault(spot, mine)
            if flight is mine:
                break
            if (value := flight.wait(key)) is not _MISSING:
                return cast("V", value)
        try:
            # Whoever landed since the miss has left a value.
            value = self.peek(key, _MISSING)
            if value is _MISSING:
                value = loader(key)
                self._keep(key, value)
            mine.value = value
        except Exception as error:
            mine.error = error
            raise
        finally:
            # Also when this thread is interrupted: then it brings neither, and the next one loads.
            _flights.pop(spot, None)
            mine.gate.release()
            # The error holds this frame, which must not hold the error.
            del mine, flight
        if ahead:
            self._load_ahead(self._follow(key, True), loader)
        return cast("V", value)

    def _load_ahead(self, keys: list[K], loader: Callable[[K], V]) -> None:
        """Load what will be asked for next: called by `get_or_set`."""
        for key in keys:
            try:
                self._load(key, loader, ahead=False)
            except Exception:
                return  # Whoever asks for it will hear what is wrong.
            self._loaded_ahead(key)

    def _keep(self, key: K, value: V) -> None:
        # What is too large to keep is still an answer. Without `suppress`, which costs more than the rest.
        try:  # noqa: SIM105
            self[key] = value
        except TooLarge:
            pass

    def warm(self, keys: Iterable[K] | os.PathLike[str], loader: Callable[[K], V]) -> int:
        """Load all keys that are not there; says how many were loaded.

        `keys` may be a file with one key (text) a line.
        """
        if isinstance(keys, os.PathLike):
            lines = Path(keys).read_text("utf-8").splitlines()
            keys = cast("Iterable[K]", (line for line in lines if line))
        loaded = 0
        for key in keys:
            if key not in self:
                self._load(key, loader, ahead=False)
                loaded += 1
        return loaded

    def save(self, path: str | os.PathLike[str], dumps: Callable[[Any], bytes] = pickle.dumps) -> int:
        """Write every entry with its cost, tags and what is left of its lifetime; says how many.

        The file is whole or not there: it is written beside `path`, synced and renamed.
        """
        return self._save(Path(path), dumps)

    def load(self, path: str | os.PathLike[str], loads: Callable[[bytes], Any] = pickle.loads) -> int:
        """Take in the entries that `save` wrote; says how many.

        A damaged file is refused before anything is taken from it. Do not load files from strangers: `pickle`
        runs what they say, unless you give other `dumps` and `loads`.

        Raises:
            SnapshotError: the file is damaged, or no snapshot; the cache is as it was.
        """
        return self._restore(Path(path), loads)

    def __repr__(self) -> str:
        """Say how full it is, and how well it does."""
        stats = self.stats()
        return (
            f"<Cache of {stats.cost:,}/{stats.capacity:,}: {stats.entries:,} entries, "
            f"{stats.hit_rate:.1%} of {stats.hits + stats.misses:,} look-ups hit>"
        )

    __hash__ = None  # type: ignore[assignment]


def _grow(face: type) -> type:
    """Give Rust's class what `face` and the abstract mapping add to it, and make it what `Cache` is.

    A subclass would do, but the interpreter takes the long way to a built-in method of a subclass's base: a
    `get` would cost half as much again.
    """
    inherited = {
        name: getattr(MutableMapping, name) for name in ("keys", "items", "values", "update", "__eq__")
    }
    own = {name: member for name, member in vars(face).items() if callable(member) or name == "__doc__"}
    extra: dict[str, object] = {
        "__hash__": None,
        "__reversed__": None,
        "__class_getitem__": classmethod(GenericAlias),
    }
    for name, member in {**inherited, **own, **extra}.items():
        setattr(CacheCore, name, member)
    CacheCore.__name__ = CacheCore.__qualname__ = "Cache"
    MutableMapping.register(CacheCore)
    return CacheCore


if not TYPE_CHECKING:
    Cache = _grow(Cache)
