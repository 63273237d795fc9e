"""Commands that fetch and run a package, as the package source they mean.

`npx -y name@1.2` becomes `npm:name@1.2`: Backstay installs it once, locks it, and starts the program itself
instead of a chain of wrappers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any, Final

NPX: Final = (("npx",), ("bunx",), ("pnpx",), ("pnpm", "dlx"), ("yarn", "dlx"), ("bun", "x"), ("npm", "exec"))
UVX: Final = (("uvx",), ("uv", "tool", "run"), ("pipx", "run"))
CONTAINERS: Final = frozenset({"docker", "podman", "nerdctl"})
SILENT: Final = frozenset(
    {"-y", "--yes", "-q", "--quiet", "--silent", "--", "--bun", "--prefer-offline", "--isolated"}
)
"""Options that mean nothing once the package is installed."""
EXACT: Final = re.compile(r"\d+(\.\w+)*")


class NotCarried(Exception):
    """The command cannot be told in a stack file; the text says why."""


@dataclass(slots=True)
class Program:
    """What a command comes to: the `mcp` block, and how many of its words are used up by it."""

    mcp: dict[str, Any] = field(default_factory=dict)
    taken: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def program(words: list[str]) -> Program | None:
    """Return the package that a command runs; none where it runs a program of its own.

    Raises:
        NotCarried: it runs a container.
    """
    name = PurePath(words[0].replace("\\", "/")).name.lower()
    name = re.sub(r"\.(cmd|exe|ps1|bat)$", "", name)
    if name in CONTAINERS:
        raise NotCarried("Backstay runs processes, not containers: name the package that is in the image")
    if name == "cmd" and len(words) > 2 and words[1].lower() == "/c":
        inner = program(words[2:])
        if inner:
            inner.taken += 2
        return inner
    called = [name, *words[1:]]
    for forms, reader in ((NPX, _npx), (UVX, _uvx)):
        for form in forms:
            if tuple(called[: len(form)]) == form:
                return reader(called, len(form))
    return None


def _npx(words: list[str], at: int) -> Program | None:
    package = ""
    while at < len(words) and words[at].startswith("-"):
        option, equals, value = words[at].partition("=")
        if option in ("-p", "--package"):
            package = value if equals else "".join(words[at + 1 : at + 2])
            at += 0 if equals else 1
        elif words[at] not in SILENT:
            return None
        at += 1
    command = words[at] if at < len(words) else ""
    if not (package or command):
        return None
    if not package:
        package, command = command, ""
    if re.sub(r"@[^@/]*$", "", package) == "mcp-remote":
        return _mcp_remote(words, at + 1)
    source = f"npm:{re.sub('@latest$', '', package)}"
    taken = at + 1
    if command and command != _bare(package):
        return Program({"package": source, "entry": command}, taken)
    return Program({"package": source}, taken)


def _bare(package: str) -> str:
    """Return a package's name without scope and version."""
    return re.sub(r"@[^@/]*$", "", package).rpartition("/")[2]


def _mcp_remote(words: list[str], at: int) -> Program | None:
    """`mcp-remote URL --header 'Name: value'` bridges to a remote server, which Backstay reaches itself."""
    if at >= len(words) or not words[at].startswith(("http://", "https://")):
        return None
    url = words[at]
    mcp: dict[str, Any] = {"url": url}
    if url.rstrip("/").endswith("/sse"):
        mcp["transport"] = "sse"
    headers = {}
    at += 1
    while at + 1 < len(words) and words[at] == "--header":
        name, _, value = words[at + 1].partition(":")
        headers[name.strip()] = value.strip()
        at += 2
    while at < len(words) and words[at].startswith("--"):
        follows = at + 1 < len(words) and not words[at + 1].startswith("--")
        if words[at] == "--transport" and follows and words[at + 1].startswith("sse"):
            mcp["transport"] = "sse"
        at += 2 if follows else 1
    return Program(mcp, len(words), headers)


def _uvx(words: list[str], at: int) -> Program | None:
    package, constraints, runtime = "", [], ""
    while at < len(words) and words[at].startswith("-"):
        option, equals, value = words[at].partition("=")
        if words[at] in SILENT:
            at += 1
            continue
        if not equals:
            value = "".join(words[at + 1 : at + 2])
        if option in ("--from", "--spec"):
            package = value
        elif option == "--with":
            constraints += [part.strip() for part in value.split(",")]
        elif option in ("-p", "--python") and EXACT.fullmatch(value):
            runtime = f"python=={value}.*" if value.count(".") < 2 else f"python=={value}"
        else:
            return None
        at += 1 if equals else 2
    if at >= len(words):
        return None
    command = words[at]
    if not package:
        package, command = command, ""
    requirement = _requirement(package)
    if requirement is None:
        return None
    mcp: dict[str, Any] = {"package": f"pypi:{requirement}"}
    if command and command != re.split(r"[\[=<>!~ @]", requirement)[0]:
        mcp["entry"] = command
    if constraints:
        mcp["with"] = constraints
    if runtime:
        mcp["runtime"] = runtime
    return Program(mcp, at + 1)


def _requirement(package: str) -> str | None:
    """Return `name@1.2` as PEP 508 has it; none for what is no package of an index."""
    if "://" in package or package.startswith((".", "/", "~", "git+")) or package.endswith((".whl", ".gz")):
        return None
    name, at, version = package.partition("@")
    if not at or version == "latest":
        return name
    return f"{name}=={version}" if EXACT.fullmatch(version) else None
