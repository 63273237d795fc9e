"""`backstay lock`."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import click

from backstay.cli import complete, report, stack
from backstay.cli.report import WrongUse
from backstay.cli.root import verb
from backstay.cli.style import RED, Pen, plain, table

if TYPE_CHECKING:
    from backstay.cli.options import Settings
    from backstay.config import Service, Stack
    from backstay.errors import PackageError
    from backstay.packages import Lockfile


@verb("lock")
@click.argument("services", nargs=-1, metavar="[SERVICE]...", shell_complete=complete.services)
@click.option(
    "--upgrade", is_flag=True, help="Take the newest versions again, of all servers or of those named."
)
def command(settings: Settings, services: tuple[str, ...], upgrade: bool) -> int:
    """Fix the exact version of every package in backstay.lock, and install what is missing.

    `up` does this too for what is not locked yet; then it needs no network. Pins that no service needs any
    more are dropped. `backstay up` applies an upgrade.
    """
    if services and not upgrade:
        raise WrongUse(
            "SERVICE goes with --upgrade", hint="`backstay lock --upgrade SERVICE` upgrades one server"
        )
    read = stack.load(settings)
    from backstay.api.selection import unknown
    from backstay.packages import Lockfile
    from backstay.packages.lock import NAME

    for name in services:
        if name not in read.services:
            raise unknown(name, read.services)
    locking = Locking(read, Lockfile.load(read.dir / NAME))
    asyncio.run(locking.run(set(services or read.services) if upgrade else set()))
    if settings.json:
        click.echo(json.dumps(locking.as_json()))
    else:
        _show(locking, Pen(settings.color))
    return report.NOT_AS_ASKED if locking.failures else report.DONE


class Locking:
    """One pass over the packages of a stack: what was pinned, what is, what failed."""

    def __init__(self, read: Stack, lock: Lockfile) -> None:
        from backstay.packages import Request

        self.stack = read
        self.lock = lock
        self.requests = {
            name: request
            for name, service in read.services.items()
            if (request := Request.of(service, lock.base)) is not None
        }
        self.before = self.versions()
        self.failures: dict[str, PackageError] = {}

    def versions(self) -> dict[str, str | None]:
        """Return the version that is pinned now for each server."""
        pins = {name: self.lock.get(request.key(self.lock.base)) for name, request in self.requests.items()}
        return {name: pin.version if pin else None for name, pin in pins.items()}

    async def run(self, upgrade: set[str]) -> None:
        """Resolve and install all side by side, those in `upgrade` anew, and save the file."""
        keys = {name: request.key(self.lock.base) for name, request in self.requests.items()}
        pinned = {key: pin for key in keys.values() if (pin := self.lock.get(key)) is not None}
        for name in upgrade & keys.keys():
            self.lock.forget(keys[name])
        await asyncio.gather(*(self._one(self.stack.services[name]) for name in keys))
        for name in self.failures:
            if keys[name] in pinned and keys[name] not in self.lock:
                self.lock.put(keys[name], pinned[keys[name]])
        if not self.stack.disabled:
            self.lock.keep(keys.values())
        self.lock.save()

    async def _one(self, service: Service) -> None:
        from backstay.packages import PackageError, cache_dir, resolve_and_install

        def progress(line: str) -> None:
            click.echo(f"{service.name}: {plain(line)}", err=True)

        try:
            await resolve_and_install(
                service, lock=self.lock, cache=cache_dir(), environ=os.environ, progress=progress
            )
        except PackageError as error:
            self.failures[service.name] = error

    def as_json(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        versions = self.versions()
        return {
            "file": str(self.lock.path),
            "servers": {
                name: {"package": str(request), "version": versions[name], "before": self.before[name]}
                for name, request in self.requests.items()
            },
            "failed": {
                name: {"reason": str(error), "hint": error.hint, "tail": error.tail}
                for name, error in self.failures.items()
            },
        }


def _show(locking: Locking, pen: Pen) -> None:
    if not locking.requests:
        click.echo("no service has a package to lock")
        return
    rows = []
    for name, version in locking.versions().items():
        before = locking.before[name]
        change = "new" if before is None else "" if before == version else f"was {before}"
        if name in locking.failures:
            change = pen.paint("failed", RED)
        rows.append((name, str(locking.requests[name]), version or "-", change))
    table(("SERVER", "PACKAGE", "VERSION", ""), rows, pen)
    for name, failure in locking.failures.items():
        report.say(f"{name}: {failure}", tail=plain(failure.tail), hint=failure.hint)
