"""The store: one SQLite file, written by one thread of one daemon.

Desired state is written with a sync before it takes effect; what is only recorded (events) is written in
batches behind the event loop. A `kill -9` between any two instructions leaves a file that the next daemon
goes on from: every change is one transaction.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from backstay.errors import StateError
from backstay.state.schema import migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

__all__ = ["KEPT_REVISIONS", "MAX_EVENTS", "StateError", "Store"]

T = TypeVar("T")

MAX_EVENTS: Final = 100_000
"""Events kept on disk; the oldest go first."""
KEPT_REVISIONS: Final = 20
"""Revisions kept of each service, beside those in use."""
_SEQ_BLOCK: Final = 10_000
"""Event numbers are reserved in blocks, so that none is given twice although events are written late."""


class Store:
    """One fleet's `state.db`.

    Its methods wait for the disk on a thread of its own, so that the event loop never does. Use `await
    Store.open(…)`.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self.path = path
        self._connection = connection
        self._thread = thread
        self._pending: list[tuple[int, str]] = []
        self._flushing: asyncio.Task[None] | None = None
        self._seq = 0
        self._reserved = 0
        self._written = 0

    @classmethod
    async def open(cls, path: Path) -> Store:
        """Open the file, or make it.

        Raises:
            StateError: it cannot be written or read; says why and what to do.
        """
        thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="state")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(thread, _connect, path)
        except BaseException:
            thread.shutdown(wait=False)
            raise
        store = cls(path, connection, thread)
        last = await store._read("SELECT max(seq) FROM events")
        reserved = await store.fact("seq", 0)
        store._seq = max(last[0][0] or 0, int(reserved))
        await store._reserve()
        return store

    async def close(self) -> None:
        """Write what is left and let go of the file."""
        await self.flush()
        await self._run(self._connection.close)
        self._thread.shutdown(wait=False)

    # Facts: single values

    async def fact(self, key: str, default: Any = None) -> Any:
        """Give a fact."""
        rows = await self._read("SELECT value FROM facts WHERE key = ?", (key,))
        return json.loads(rows[0][0]) if rows else default

    async def set_facts(self, facts: Mapping[str, Any]) -> None:
        """Record facts, durably and at once."""
        await self._write(_facts(facts))

    async def next_generation(self) -> int:
        """Count this daemon: the number that tells its calls from those of its predecessors."""
        generation = int(await self.fact("generation", 0)) + 1
        await self.set_facts({"generation": generation})
        return generation

    # What is wanted

    async def accept(
        self,
        *,
        facts: Mapping[str, Any],
        revisions: Iterable[tuple[str, int, str, float]] = (),
        services: Mapping[str, Any] | None = None,
        leases: Mapping[str, Any] | None = None,
    ) -> None:
        """Make a deploy durable before it takes effect: all of it or nothing.

        Args:
            facts: single values, such as the stack and the deploy.
            revisions: new ones as (service, number, configuration, time).
            services: the wanted state of every service; others are forgotten.
            leases: what every instance holds; others are forgotten.
        """
        statements = _facts(facts)
        statements += [
            (
                "INSERT INTO revisions (service, number, config, at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO UPDATE SET config = excluded.config, at = excluded.at",
                row,
            )
            for row in revisions
        ]
        statements += _table("services", "name", services)
        statements += _table("leases", "instance", leases)
        await self._write(statements)

    async def save(
        self,
        *,
        services: Mapping[str, Any],
        leases: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> None:
        """Record what changed of services and leases; none as a value forgets one."""
        statements = _facts(facts) + _rows("services", "name", services) + _rows("leases", "instance", leases)
        await self._write(statements)

    async def services(self) -> dict[str, Any]:
        """Give the state of every service."""
        return {name: json.loads(value) for name, value in await self._read("SELECT * FROM services")}

    async def leases(self) -> dict[str, Any]:
        """Give what every instance holds."""
        return {name: json.loads(value) for name, value in await self._read("SELECT * FROM leases")}

    # Revisions

    async def revisions(self, wanted: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[str, Any]]:
        """Give the configuration and the launch of revisions."""
        found = {}
        for service, number in wanted:
            rows = await self._read(
                "SELECT config, launch FROM revisions WHERE service = ? AND number = ?", (service, number)
            )
            if rows:
                config, launch = rows[0]
                found[service, number] = (config, json.loads(launch) if launch else None)
        return found

    async def set_launch(self, service: str, number: int, launch: Any) -> None:
        """Record what a revision starts."""
        await self._write(
            [
                (
                    "UPDATE revisions SET launch = ? WHERE service = ? AND number = ?",
                    (json.dumps(launch), service, number),
                )
            ]
        )

    async def last_numbers(self) -> dict[str, int]:
        """Give the highest revision number of every service there ever was."""
        return dict(await self._read("SELECT service, max(number) FROM revisions GROUP BY service"))

    async def prune(self, in_use: Sequence[tuple[str, int]]) -> None:
        """Forget old revisions that nothing uses."""
        used = set(in_use)
        rows = await self._read("SELECT service, number FROM revisions ORDER BY service, number DESC")
        seen: dict[str, int] = {}
        old = []
        for service, number in rows:
            seen[service] = seen.get(service, 0) + 1
            if seen[service] > KEPT_REVISIONS and (service, number) not in used:
                old.append((service, number))
        statement = "DELETE FROM revisions WHERE service = ? AND number = ?"
        await self._write([(statement, row) for row in old])

    # Events

    @property
    def last_seq(self) -> int:
        """The number of the newest event."""
        return self._seq

    def record(self, event: dict[str, Any]) -> dict[str, Any]:
        """Number an event and have it written soon; never waits."""
        self._seq += 1
        event = {"seq": self._seq, **event}
        self._pending.append((self._seq, json.dumps(event, separators=(",", ":"))))
        if len(self._pending) > MAX_EVENTS:  # the disk does not keep up, or refuses
            del self._pending[: MAX_EVENTS // 2]
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_soon())
        return event

    async def events(self, after: int, limit: int = 1000) -> list[dict[str, Any]]:
        """Give recorded events after a number, oldest first."""
        rows = await self._read("SELECT value FROM events WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [json.loads(value) for (value,) in rows]

    async def flush(self) -> None:
        """Write the events that are waiting."""
        if self._seq + _SEQ_BLOCK // 2 > self._reserved:
            await self._reserve()
        batch, self._pending = self._pending, []
        if not batch:
            return
        statements: list[tuple[str, Sequence[Any]]] = [
            ("INSERT OR REPLACE INTO events (seq, value) VALUES (?, ?)", row) for row in batch
        ]
        self._written += len(batch)
        if self._written > MAX_EVENTS // 100:
            self._written = 0
            statements.append(("DELETE FROM events WHERE seq <= ?", (batch[-1][0] - MAX_EVENTS,)))
        try:
            await self._write(statements)
        except StateError:
            self._pending = batch + self._pending
            raise

    async def _flush_soon(self) -> None:
        await asyncio.sleep(0.05)  # one transaction for what happens together
        try:
            await self.flush()
        except StateError:
            # Kept in memory up to the cap; the next event tries again, and the next deploy says why.
            return

    async def _reserve(self) -> None:
        self._reserved = self._seq + _SEQ_BLOCK
        await self.set_facts({"seq": self._reserved})

    # The thread

    async def _run(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    async def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Any]:
        return await self._run(lambda: self._connection.execute(statement, values).fetchall())

    async def _write(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        def transaction() -> None:
            with self._connection:
                self._connection.execute("BEGIN IMMEDIATE")
                for statement, values in statements:
                    self._connection.execute(statement, values)

        if statements:
            await self._run(transaction)


def _facts(facts: Mapping[str, Any]) -> list[tuple[str, Sequence[Any]]]:
    statement = "INSERT OR REPLACE INTO facts (key, value) VALUES (?, ?)"
    return [(statement, (key, json.dumps(value))) for key, value in facts.items()]


def _table(table: str, key: str, rows: Mapping[str, Any] | None) -> list[tuple[str, Sequence[Any]]]:
    """Make a table hold these rows and no others."""
    if rows is None:
        return []
    statements: list[tuple[str, Sequence[Any]]] = [(f"DELETE FROM {table}", ())]
    statement = f"INSERT INTO {table} ({key}, value) VALUES (?, ?)"
    return statements + [(statement, (name, json.dumps(value))) for name, value in rows.items()]


def _rows(table: str, key: str, rows: Mapping[str, Any]) -> list[tuple[str, Sequence[Any]]]:
    """Change these rows of a table, and no others."""
    put = f"INSERT OR REPLACE INTO {table} ({key}, value) VALUES (?, ?)"
    drop = f"DELETE FROM {table} WHERE {key} = ?"
    return [
        (drop, (name,)) if value is None else (put, (name, json.dumps(value))) for name, value in rows.items()
    ]


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file so that nobody else can read it and nothing accepted is lost."""
    try:
        # Made by us first: SQLite would make it readable for others.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10.0)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            migrate(connection)
        except BaseException:
            connection.close()
            raise
    except (sqlite3.Error, OSError) as error:
        raise _explained(error, path) from error
    return connection


def _explained(error: sqlite3.Error | OSError, path: Path) -> StateError:
    text = str(error).lower()
    code = getattr(error, "sqlite_errorcode", None)
    number = getattr(error, "errno", None)
    if "full" in text or number == 28 or code == sqlite3.SQLITE_FULL:
        return StateError(f"the disk of {path.parent} is full", hint="make room there, then try again")
    if "readonly" in text or "read-only" in text or number in (13, 30):
        return StateError(
            f"{path.parent} cannot be written", hint="make the folder of the stack file writable for you"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "malformed" in text:
        return StateError(
            f"{path} is damaged: {error}", hint="end the fleet, move the file away, and bring it up again"
        )
    return StateError(f"{path} cannot be used: {error}", hint="another program may hold it open")
