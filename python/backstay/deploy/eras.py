"""Which era of the protocol each server is of, as `backstay.lock` remembers it.

How a server wants to be greeted is found out by asking, and some take the wrong question badly. What the
gateway found (`server.ready`) is where it begins the next time, as long as the same program is reached in the
same way.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from backstay.errors import PackageError

if TYPE_CHECKING:
    from backstay.config import Service
    from backstay.deploy.build import Launched
    from backstay.deploy.installer import PackageInstaller
    from backstay.packages import Lockfile

__all__ = ["Eras", "origin"]

SECTION = "servers"
_KNOWN = ("legacy", "modern")


def origin(service: Service, launched: Launched) -> str:
    """Say in words what a server's era belongs to: what runs, and how it is reached. No secret is in it."""
    mcp = service.mcp
    assert mcp is not None
    if mcp.url is not None:
        url = urlsplit(mcp.url)
        what = f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''}{url.path}"
    elif launched.description:
        what = launched.description
    else:
        what = PurePath(service.command[0]).name if service.command else ""
    return f"{what} over {mcp.transport}"


class Eras:
    """The eras in the lock file of one fleet."""

    def __init__(self, installer: PackageInstaller) -> None:
        self._installer = installer

    def of(self, service: Service, launched: Launched) -> str | None:
        """Give the era that this very server was of last; none if that is not known."""
        lock = self._installer.lock
        kept = lock.section(SECTION).get(service.name) if lock else None
        if not isinstance(kept, dict) or kept.get("of") != origin(service, launched):
            return None
        era = kept.get("era")
        return era if era in _KNOWN else None

    async def found(self, service: Service, launched: Launched, era: str) -> None:
        """Remember an era, if that is news."""
        if self.of(service, launched) == era:
            return
        entry = {"era": era, "of": origin(service, launched)}

        def change(lock: Lockfile) -> None:
            # Other facts about a server are others' to keep.
            kept = lock.section(SECTION).get(service.name)
            lock.section(SECTION)[service.name] = {**(kept if isinstance(kept, dict) else {}), **entry}

        try:
            await self._installer.amend(change)
        except PackageError:
            # It costs a question the next time; what is wrong with the file is told where it matters.
            return
