"""Why a server that was installed died at its start, and the cure: read from its last words.

Each rule was written from what real servers print; `tests/packages/deaths/` holds them. They read text only:
what cannot be read there (a wrong id, no answer) is the handshake's to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is the matter with a server.

    Attributes:
        cause: what happened, in one line.
        hint: what to do.
    """

    cause: str
    hint: str


@dataclass(frozen=True, slots=True)
class _Sign:
    pattern: re.Pattern[str]
    read: Callable[[re.Match[str]], Diagnosis]


def _sign(patterns: str | tuple[str, ...], cause: str, hint: str) -> _Sign:
    """A rule: any of the patterns, and texts that quote its groups as `{0}`."""

    def read(match: re.Match[str]) -> Diagnosis:
        groups = [group.strip() for group in match.groups() if group and group.strip()] + [""] * 3
        return Diagnosis(cause.format(*groups), hint.format(*groups))

    alternatives = (patterns,) if isinstance(patterns, str) else patterns
    return _Sign(re.compile("|".join(alternatives), re.MULTILINE), read)


_VARIABLE = r"\b(?!ERR_)[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
_ABSENT = (
    r"environment variable|env var|is required|(?:must|should|needs to) be (?:set|provided)|is not set"
    r"|not provided|not configured|not found|[Mm]issing"
)
_ASKED_FOR = (
    r"[Pp]lease (?:set|provide)|[Mm]issing|[Rr]equire[sd]?|[Ss]et the|or pass `?--|KeyError: '"
    r"|environment variables?:"
)
#: What an import that fails names, and the constraint that brings it back: drifts seen in published servers.
_DRIFTED = (
    ("mcp.", "mcp<2"),
    ("'mcp", "mcp<2"),
    ("pydantic", "pydantic<2.12"),
    ("fastmcp", "fastmcp<3"),
)

#: What mcp 1 depends on and mcp 2 does not: servers import it and never say so.
_CAME_WITH_OLDER_MCP = frozenset({"httpx", "httpx_sse", "pydantic_settings"})


def _older_mcp(match: re.Match[str]) -> Diagnosis:
    return _needs_older("mcp<2", match)


def _drifted(match: re.Match[str]) -> Diagnosis:
    said = match[0]
    # What moved is in `from 'x'`; the importing file's own path would match too.
    named = said.partition(" from ")[2].partition("(")[0] or said
    for module, constraint in _DRIFTED:
        if module in named:
            return _needs_older(constraint, match)
    package = named.strip(" '\"").split(".")[0].replace("_", "-")
    return Diagnosis(
        f"a dependency changed under it: {_quoted(match)}",
        f'add a constraint to its mcp block, as `with: ["{package}<2"]`',
    )


def _needs_older(constraint: str, match: re.Match[str]) -> Diagnosis:
    name = constraint.split("<")[0]
    return Diagnosis(
        f"it was written for an older {name}: {_quoted(match)}",
        f'add `with: ["{constraint}"]` to its mcp block',
    )


def _missing_module(match: re.Match[str]) -> Diagnosis:
    module = match["module"]
    if module.startswith("mcp.") or module in _CAME_WITH_OLDER_MCP:
        return _older_mcp(match)
    package = module.split(".")[0].replace("_", "-")
    return Diagnosis(
        f"it imports `{module}`, which is not among its dependencies",
        f'add `with: ["{package}"]` to its mcp block',
    )


def _variables(match: re.Match[str]) -> Diagnosis:
    names = " and ".join(dict.fromkeys(re.findall(_VARIABLE, match[0])))
    return Diagnosis(
        f"needs {names}", f"set {names} under the service's `environment:`, `env_file:` or `secrets:`"
    )


def _quoted(match: re.Match[str]) -> str:
    """The line itself, without the frame of an exception group and the path of a file."""
    return re.sub(r"\s*\(/[^)]*\)$", "", match[0].strip(" |")).split(". ")[0][:160]


def _line(pattern: str) -> re.Pattern[str]:
    """A line of a traceback that is this, in an exception group or not."""
    return re.compile(rf"^[ |]*{pattern}[^\n]*$", re.MULTILINE)


#: Tried in order: the surest first, and last those that other failures print as well.
_SIGNS = (
    _sign(
        (
            r"EADDRINUSE",
            r"[Aa]ddress already in use",
            r"[Pp]ort \d+ is (?:already )?(?:in use|taken|occupied)",
        ),
        "the port that it listens on is taken",
        "let backstay choose (`ports: {{http: auto}}`, `{{{{ ports.http }}}}`), or stop what holds it",
    ),
    _sign(
        (
            r"Error while fetching server API version",
            r"Cannot connect to the Docker daemon",
            r"ENOENT[^\n]*docker\.sock",
        ),
        "it needs a running Docker, and its socket is not there",
        "start Docker, or set DOCKER_HOST under `environment:`",
    ),
    _Sign(_line(r"ModuleNotFoundError: No module named '(?P<module>[\w.]+)'"), _missing_module),
    _Sign(_line(r"ImportError: cannot import name"), _drifted),
    _Sign(
        _line(r"AttributeError: '(?:Server|FastMCP|MCPServer|ServerSession)' object has no attribute"),
        _older_mcp,
    ),
    _Sign(_line(r"TypeError: (?:FastMCP|Server)\.?\w*\(\) got an unexpected keyword argument"), _older_mcp),
    _Sign(
        re.compile(
            rf"^[^\n]*(?:{_VARIABLE}[^\n]*(?:{_ABSENT})|(?:{_ASKED_FOR})[^\n]*{_VARIABLE})[^\n]*$",
            re.MULTILINE,
        ),
        _variables,
    ),
    _sign(
        (
            r"ERR_REQUIRE_ESM|ERR_UNKNOWN_BUILTIN_MODULE|Unsupported engine|bad option: --",
            r"require\(\) of ES Module",
            r"SyntaxError: (?:Unexpected token(?![^\n]*JSON)|Invalid regular expression flags)",
            r"ReferenceError: (?:fetch|File|WebSocket|crypto|CustomEvent|ReadableStream) is not defined",
        ),
        "it needs a newer Node than runs it",
        "add `runtime: node>=22` to its mcp block",
    ),
    _sign(
        (
            r"SyntaxError: invalid syntax",
            r"unsupported operand type\(s\) for \|: 'type' and",
            r"cannot import name '(?:override|Self|StrEnum|NotRequired)' from '(?:typing|enum)'",
        ),
        "it needs a newer Python than runs it",
        "add `runtime: python>=3.12` to its mcp block",
    ),
    _sign(
        r"(?:Cannot find module|Cannot find package)[^\n]*?'([^']+)'",
        "a file or package of it is missing: {0}",
        "in a project of your own: declare what it imports, and build it; else try another version",
    ),
    _sign(
        r"error while loading shared libraries: ([\w.+-]+)",
        "the system library {0} is missing",
        "install the package that holds {0}",
    ),
    _sign(
        r"version `(GLIBC\w*_[\d.]+)' not found",
        "it needs a newer system: {0}",
        "use a newer Linux, or an older version of it",
    ),
    _sign(
        (
            r"spawn (\S+) ENOENT",
            r"exec: \"([^\"]+)\": executable file not found",
            r"FileNotFoundError: \[Errno 2\] No such file or directory: '([\w-]+)'$",
        ),
        "it starts the program `{0}`, which is not on PATH",
        "install {0}, or set PATH under `environment:`",
    ),
    _sign(
        (
            r"ECONNREFUSED ([\w.:\[\]]+)",
            r"dial tcp ([\d.:\[\]a-f]+): connect: connection refused",
            r"Error 111 connecting to ([\w.:]+)",
        ),
        "what it stands on refuses connections: {0}",
        "name that service under `depends_on:` and give it a `healthcheck:`, or correct the address",
    ),
    _sign(
        (
            r"error: the following arguments are required: ([^\n]*)",
            r"[Ee]rror: unrecognized arguments?: ([^\n]*)",
            r"(?:unknown|No such) (?:flag|option)[: ]+([^\n]*)",
            r"^Error: (Missing (?:option|argument)[^\n]*)",
            r"^Please provide ([^\n]*argument[^\n]*)",
            r"^Error: ([^\n]*--[\w-]+ flag[^\n]*)",
        ),
        "its arguments are wrong: {0}",
        "correct the service's `args:`",
    ),
    _sign(
        r"(?:EACCES|PermissionError|[Pp]ermission denied)[^\n]*?(/[^'\"\s:]+)",
        "it may not touch {0}",
        "give it a path that it may use, under `args:`, `environment:` or `working_dir:`",
    ),
    _sign(r"ENOSPC|[Nn]o space left on device", "the disk is full", "free some space"),
    _sign(
        (
            r"(?:ENOENT|FileNotFoundError)[^\n]*?'([^'\n]+)'",
            r"(?:stat|open) (\S+): no such file or directory",
            r"[: ](/\S+) does not exist",
            r"Cannot access directory ([^\n,]+)",
        ),
        "it needs {0}, which is not there",
        "create it, or correct the service's `args:`",
    ),
    _sign(
        r"^[Uu]sage:|^Flags:",
        "its arguments are wrong: it prints how to call it",
        "correct the service's `args:`",
    ),
    _sign(
        r"heap out of memory|^MemoryError|Cannot allocate memory",
        "it ran out of memory",
        "raise `deploy.resources.limits.memory`",
    ),
)


def diagnose(tail: str) -> Diagnosis | None:
    """What the last lines of a server's stderr say.

    Args:
        tail: the lines.

    Returns:
        The cause and the cure; none if they say nothing that is known.

    Example:
        >>> diagnose("Error: BRAVE_API_KEY environment variable is required").cause
        'needs BRAVE_API_KEY'
    """
    for sign in _SIGNS:
        match = sign.pattern.search(tail)
        if match:
            found = sign.read(match)
            return Diagnosis(re.sub(r"\s+", " ", found.cause).rstrip(": "), found.hint)
    return None


def diagnose_stdout(line: str) -> Diagnosis:
    """What to say of a server that writes something else than the protocol to stdout.

    Args:
        line: the first such line.
    """
    return Diagnosis(
        f"it writes text to stdout, which carries the protocol and nothing else: {line.strip()[:120]}",
        "look for an option that sends its log to stderr; in a server of your own, print to stderr",
    )
