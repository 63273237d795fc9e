"""`backstay.lock`: the exact versions and hashes that make a second `up` the same as the first.

JSON with sorted keys, so that two people who resolve the same fleet write the same bytes. Keys this version
does not know are kept as they are: other parts of the program (and later versions) have facts of their own
in the file.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backstay.packages.failure import failure
from backstay.packages.launch import LockedPackage

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
NAME = "backstay.lock"


class Lockfile:
    """The pinned packages of one stack, kept beside its stack file.

    Attributes:
        path: where the file is, whether or not it exists yet.
        dirty: whether something changed since it was read or saved.
    """

    def __init__(self, path: Path, document: dict[str, Any] | None = None) -> None:
        self.path = path.absolute()
        self.dirty = False
        self._document = document if document is not None else {}
        self._packages: dict[str, LockedPackage] = {}
        # Two services that ask for the same thing resolve it once. Used by one event loop only.
        self._resolving: dict[str, asyncio.Lock] = {}
        for key, entry in self._document.get("packages", {}).items():
            self._packages[key] = LockedPackage(**{k: v for k, v in entry.items() if k in _FIELDS})

    @classmethod
    def load(cls, path: Path) -> Lockfile:
        """Read the lock file; one that does not exist is an empty one.

        Raises:
            PackageError: it is not a lock file, or one of a later format.
        """
        try:
            document = json.loads(path.read_bytes())
        except FileNotFoundError:
            return cls(path)
        except (ValueError, OSError) as error:
            raise failure(
                f"read {path}",
                tail=str(error),
                hint=f"restore {path.name} from version control, or delete it to resolve everything anew",
            ) from error
        version = document.get("version") if isinstance(document, dict) else None
        if not isinstance(version, int) or version > FORMAT:
            raise failure(
                f"read {path}",
                tail=f"its format is {version!r}, this backstay knows formats up to {FORMAT}",
                hint="upgrade backstay, or delete the file to resolve everything anew",
            )
        try:
            return cls(path, document)
        except (TypeError, AttributeError) as error:
            raise failure(
                f"read {path}", tail=str(error), hint=f"delete {path.name} to resolve everything anew"
            ) from error

    @property
    def base(self) -> Path:
        """The directory that paths in the file are relative to."""
        return self.path.parent

    def __contains__(self, key: str) -> bool:
        """Whether this request is pinned."""
        return key in self._packages

    def keys(self) -> list[str]:
        """All pinned requests, sorted."""
        return sorted(self._packages)

    def get(self, key: str) -> LockedPackage | None:
        """What is pinned for a request."""
        return self._packages.get(key)

    def put(self, key: str, locked: LockedPackage) -> None:
        """Pin a request; takes effect on disk with `save`."""
        if self._packages.get(key) != locked:
            self._packages[key] = locked
            self.dirty = True

    def resolving(self, key: str) -> asyncio.Lock:
        """Held while a request is resolved, so that it is resolved once."""
        return self._resolving.setdefault(key, asyncio.Lock())

    def forget(self, key: str) -> None:
        """Drop a pin, so that the next resolution takes the newest again."""
        if self._packages.pop(key, None) is not None:
            self.dirty = True

    def keep(self, keys: Iterable[str]) -> None:
        """Drop every pin that none of these requests needs."""
        wanted = set(keys)
        for key in [key for key in self._packages if key not in wanted]:
            self.forget(key)

    def section(self, name: str) -> dict[str, Any]:
        """A part of the file that is not this module's (`servers`); set `dirty` after a change."""
        section: dict[str, Any] = self._document.setdefault(name, {})
        return section

    def dump(self) -> str:
        """The file's text: the same pins always give the same bytes."""
        document = {name: part for name, part in self._document.items() if part not in ({}, None)}
        document["version"] = FORMAT
        document["packages"] = {
            key: {name: value for name, value in asdict(locked).items() if value not in ({}, None)}
            for key, locked in self._packages.copy().items()
        }
        return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"

    def save(self) -> bool:
        """Write the file if it changed: whole or not at all.

        Returns:
            Whether anything was written.

        Raises:
            PackageError: the directory cannot be written.
        """
        if not self.dirty:
            return False
        self.dirty = False  # first: what another thread pins from now on is for the next save
        try:
            write_atomically(self.path, self.dump().encode())
        except OSError as error:
            self.dirty = True
            raise failure(
                f"write {self.path}", tail=str(error), hint="make the stack file's directory writable"
            ) from error
        return True


_FIELDS = frozenset(LockedPackage.__dataclass_fields__)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file under a temporary name, sync it, and give it its name."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
