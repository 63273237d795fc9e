"""Package sources: where a server comes from (`npm:`, `pypi:`, `cargo:`, `go:`, `path:`).

This module only reads what is written; what a version means is for `backstay.packages` to resolve.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from packaging.requirements import InvalidRequirement, Requirement
from pydantic import BeforeValidator, InstanceOf, PlainSerializer, WithJsonSchema

from backstay.config.models.base import kind_of, quoted, refuse

SourceKind = Literal["npm", "pypi", "cargo", "go", "path"]

NPM: Final = re.compile(r"((?:@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*)(?:@(.+))?", re.IGNORECASE)
CARGO: Final = re.compile(r"([A-Za-z][A-Za-z0-9_-]*)(?:@(.+))?")
GO: Final = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[A-Za-z0-9._~-]+)*)(?:@([^\s/]+))?", re.IGNORECASE)
SEMVER: Final = re.compile(r"[\^~=<>]*\s*v?\d+(\.(\d+|[xX*]))*([-+][0-9A-Za-z.+-]+)?|\*|[xX]")
TAG: Final = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")
EXAMPLES: Final = (
    "write `npm:name@^1.2`, `pypi:name==1.2`, `cargo:name@1.2`, `go:module/path@v1.2`, "
    "`path:./folder` or an https URL"
)


@dataclass(frozen=True, slots=True)
class PackageSource:
    """One package, as the stack file names it.

    Example:
        >>> PackageSource.parse("npm:@scope/server@^1.2")
        PackageSource(kind='npm', name='@scope/server', version='^1.2', extras=())
        >>> PackageSource.parse("pypi:server[redis]>=1,<2").version
        '<2,>=1'
    """

    kind: SourceKind
    """Where it comes from."""
    name: str
    """The package's name, the Go module path, or for `path:` the folder."""
    version: str = ""
    """What is asked for, in the words of its registry; empty means the newest that resolves."""
    extras: tuple[str, ...] = ()
    """The extras of a Python package."""

    def __str__(self) -> str:
        """Spell the source as the stack file does."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        joint = "@" if self.version and self.kind != "pypi" else ""
        return f"{self.kind}:{self.name}{extras}{joint}{self.version}"

    @classmethod
    def parse(cls, text: str) -> PackageSource:
        """Read a source; raises pydantic's custom error with a hint where it cannot be one."""
        kind, colon, rest = text.strip().partition(":")
        rest = rest.strip()
        if not colon or kind.lower() not in _READERS:
            raise refuse(f"{quoted(text)} is not a package source", _nearest(kind, text))
        if not rest:
            raise refuse(f"{quoted(text)} names no package", EXAMPLES)
        return _READERS[kind.lower()](rest)


def _nearest(kind: str, text: str) -> str:
    aliases = {"pip": "pypi", "python": "pypi", "uvx": "pypi", "npx": "npm", "node": "npm", "crate": "cargo",
               "crates": "cargo", "golang": "go", "file": "path", "dir": "path"}  # fmt: skip
    if kind.lower() in aliases:
        return f"did you mean `{aliases[kind.lower()]}:{text.partition(':')[2]}`?"
    if text.startswith(("./", "../", "/", "~")):
        return f"did you mean `path:{text}`?"
    if text.startswith("@") or ("@" in text and ":" not in text):
        return f"did you mean `npm:{text}`?"
    return EXAMPLES


def _npm(text: str) -> PackageSource:
    match = NPM.fullmatch(text)
    if match is None:
        raise refuse(f"{quoted(text)} is not an npm package", "write `npm:name@^1.2` or `npm:@scope/name`")
    version = (match[2] or "").strip()
    words = [word for word in re.split(r"\s*\|\|\s*|\s+-\s+|\s+", version) if word]
    for word in words:
        if not (SEMVER.fullmatch(word) or (len(words) == 1 and TAG.fullmatch(word))):
            raise refuse(
                f"{quoted(version)} is not an npm version",
                "write a version, a range such as `^1.2`, or a tag",
            )
    return PackageSource("npm", match[1], version)


def _pypi(text: str) -> PackageSource:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        name, at, version = text.partition("@")
        hint = (
            f"did you mean `pypi:{name.strip()}=={version.strip()}`?"
            if at and version
            else "write `pypi:name==1.2`"
        )
        raise refuse(f"{quoted(text)} is not a Python requirement", hint) from None
    if requirement.url or requirement.marker:
        name, _, version = text.partition("@")
        hint = "write a name and a version, as in `pypi:name==1.2`"
        if re.fullmatch(r"\s*[\d.]+\s*", version):
            hint = f"did you mean `pypi:{name.strip()}=={version.strip()}`?"
        raise refuse(f"{quoted(text)} is more than a name and a version", hint)
    return PackageSource(
        "pypi", requirement.name, str(requirement.specifier), tuple(sorted(requirement.extras))
    )


def _cargo(text: str) -> PackageSource:
    match = CARGO.fullmatch(text)
    if match is None or (match[2] and not all(map(SEMVER.fullmatch, re.split(r"\s*,\s*", match[2].strip())))):
        raise refuse(f"{quoted(text)} is not a crate", "write `cargo:name@1.2`")
    return PackageSource("cargo", match[1], (match[2] or "").strip())


def _go(text: str) -> PackageSource:
    match = GO.fullmatch(text)
    if match is None:
        raise refuse(f"{quoted(text)} is not a Go module", "write `go:module/path@v1.2`, as in `go get`")
    version = match[2] or ""
    if re.fullmatch(r"\d+(\.\d+)*", version):
        raise refuse(f"{quoted(version)} is not a Go version", f"did you mean `go:{match[1]}@v{version}`?")
    return PackageSource("go", match[1], version)


def _path(text: str) -> PackageSource:
    return PackageSource("path", text)


_READERS: Final = {"npm": _npm, "pypi": _pypi, "cargo": _cargo, "go": _go, "path": _path}


def read_source(value: Any) -> PackageSource:
    """Validate a package source, as text or already read."""
    if isinstance(value, PackageSource):
        return value
    if not isinstance(value, str):
        raise refuse(f"expected a package source, got {kind_of(value)}", EXAMPLES)
    return PackageSource.parse(value)


SOURCE_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "pattern": r"^\s*(npm|pypi|cargo|go|path):\s*\S.*$|^\s*https?://\S+$",
    "examples": ["npm:@modelcontextprotocol/server-filesystem", "pypi:mcp-server-time==1.2", "path:./server"],
}

Source = Annotated[
    InstanceOf[PackageSource],
    BeforeValidator(read_source),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(SOURCE_SCHEMA),
]
