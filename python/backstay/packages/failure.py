"""Why a package could not be made ready, and what to try: from an installer's exit to one clear message.

The other half, why a server that was installed died at its start, is in `diagnose.py`.
"""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backstay.errors import PackageError
from backstay.packages.known import nearest

if TYPE_CHECKING:
    from pathlib import Path

    from backstay.packages.request import Request
    from backstay.packages.runner import CommandFailed

__all__ = ["PackageError", "explain", "explain_os_error", "failure", "is_missing_version"]

_KEPT_LINES = 12
_NOISE = re.compile(
    r"^\s*$|^npm warn|^npm notice|A complete log of this run|^npm error(?: 404)?\s*$|npm help"
    r"|npm help|Note that you can also|tarball, folder, http url|^npm error code E404"
    r"|^\s+(?:Compiling|Downloaded) |^go: downloading"
)


@dataclass(frozen=True, slots=True)
class _Rule:
    """A sign in an installer's output, and what to try; `{0}`… are the sign's groups."""

    sign: re.Pattern[str]
    hint: str


def _rule(sign: str, hint: str) -> _Rule:
    return _Rule(re.compile(sign, re.MULTILINE | re.IGNORECASE), hint)


_DISK_FULL = "free some space on the disk that holds {cache}, or set XDG_CACHE_HOME to a larger one"
_NO_NETWORK = (
    "check the network and the proxy (HTTPS_PROXY, NO_PROXY); behind a company's own certificate set "
    "SSL_CERT_FILE and NODE_EXTRA_CA_CERTS. What is in backstay.lock and the cache starts without network"
)
#: Tried in order: the first sign found gives the hint.
_RULES = (
    _rule(r"ENOSPC|no space left on device|disk quota exceeded|EDQUOT", _DISK_FULL),
    _rule(r"EROFS|read-only file system", "set XDG_CACHE_HOME to a directory that can be written"),
    _rule(
        r"does not satisfy Python\s*([<>=!~][^\s,]*)|requires Python ([<>=!~][^\s,]*)",
        "add `runtime: python{0}` to the server's mcp block",
    ),
    _rule(
        r"requires? go >= ?([\d.]+)", "install Go {0} or newer, or set GOTOOLCHAIN=auto to let go fetch it"
    ),
    _rule(
        r"requires rustc ([\d.]+)|is not supported by the following package|feature `edition\d+` is required",
        "install a newer Rust: `rustup update`",
    ),
    _rule(
        r"linker `?(\w+)`? not found|unable to execute '?(\w+)'?: No such file|no acceptable C compiler"
        r"|(\bcc\b|\bgcc\b|\bg\+\+)[: ].{0,20}(?:not found|No such file)"
        r"|command '[\w-]*(?:cc|g\+\+|clang)' failed: No such file"
        r"|gyp ERR! (?:stack Error: )?not found: make",
        "a compiler is missing: install one (Debian, Ubuntu: `apt-get install build-essential`; Fedora: "
        "`dnf group install development-tools`)",
    ),
    _rule(r"Python\.h: No such file", "install Python's headers (Debian: `apt-get install python3-dev`)"),
    _rule(r"(\w+)\.h: No such file", "the headers of `{0}` are missing: install its -dev package"),
    _rule(
        r"(?:could not find|pkg-config).*`?openssl`?",
        "install OpenSSL's headers and pkg-config (`libssl-dev`)",
    ),
    _rule(
        r"EINTEGRITY|hash mismatch|checksum (?:for .* )?(?:changed|mismatch)|SECURITY ERROR"
        r"|does not match the lock",
        "the registry serves other bytes than backstay.lock pins: find out why before you run "
        "`backstay lock --upgrade`",
    ),
    _rule(
        r"E401|E403|401 Unauthorized|403 Forbidden|status code 40[13]",
        "the registry refuses: check the token in your .npmrc, pip.conf, uv.toml or cargo config",
    ),
    _rule(
        r"CERT_|self[- ]signed certificate|unable to get local issuer|invalid peer certificate"
        r"|certificate verify failed|SSL certificate problem|x509:",
        "the registry's certificate is not trusted: set SSL_CERT_FILE (and NODE_EXTRA_CA_CERTS for npm) to "
        "your company's certificates",
    ),
    _rule(
        r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|ENOTCACHED"
        r"|network (?:connectivity|is unreachable)"
        r"|dns error|error trying to connect|Could(?:n't| not) connect|Could not resolve host"
        r"|failed to lookup address"
        r"|no such host|connection refused|network was disabled|Temporary failure in name resolution"
        r"|operation timed out"
        r"|i/o timeout|error sending request|offline mode|module lookup disabled",
        _NO_NETWORK,
    ),
)
_NOT_FOUND = re.compile(
    r"E404|404 Not Found|was not found in the (?:package registry|provided)"
    r"|no matching package (?:named|found)"
    r"|could not find `?[\w-]+`? in registry"
    r"|(?:module|repository) [\w./-]+.*not found|package [\w-]+ not found"
    r"|unrecognized import path|404 page not found|reading https?://\S+: 404",
    re.IGNORECASE,
)
#: What a Go proxy was asked for when it refused: its answers differ (404, 403, no file), the paths do not.
_GO_PROXY = re.compile(r"reading \S+/@(?:v/(list|v\S+?)(?:\.info)?|latest): (?:4\d\d |no such file)")
_NO_VERSION = re.compile(
    r"ETARGET|No matching version found|there (?:is|are) no versions? of|only .* is available"
    r"|failed to select a version|unknown revision|invalid version|no matching versions for query"
    r"|could not find .* with version",
    re.IGNORECASE,
)


def failure(step: str, *, tail: str = "", hint: str | None = None) -> PackageError:
    """A package error: its text is the step, and the reason where that is one line; more is its tail."""
    message = f"could not {step}"
    if tail and "\n" not in tail:
        return PackageError(f"{message}: {tail}", step=step, hint=hint)
    return PackageError(message, step=step, tail=tail, hint=hint)


def explain(
    failed: CommandFailed, request: Request, cache: Path, versions: tuple[str, ...] = ()
) -> PackageError:
    """The message for an installer that failed.

    Args:
        failed: the command, its exit and the end of its output.
        request: what was to be installed.
        cache: where, for the hints that name it.
        versions: the versions that exist, where the caller could find out.
    """
    output = failed.tail
    return failure(failed.step, tail=_readable(output), hint=_hint(output, request, cache, versions))


def is_missing_version(failed: CommandFailed) -> bool:
    """Whether a version was asked for that does not exist: worth asking which do."""
    return _missing(failed.tail) == "version"


def _missing(output: str) -> str | None:
    """What does not exist: the `version` or the `package`; none if it is something else that went wrong."""
    proxy = _GO_PROXY.search(output)
    if proxy:
        return "package" if proxy[1] in (None, "list") else "version"
    if _NOT_FOUND.search(output):
        return "package"
    return "version" if _NO_VERSION.search(output) else None


def explain_os_error(error: OSError, step: str, cache: Path) -> PackageError:
    """The message for a cache that cannot be written or read."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        hint = _DISK_FULL.format(cache=cache)
    elif error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        hint = f"make {cache} writable, or set XDG_CACHE_HOME to a directory that is"
    else:
        hint = f"look at {cache}; deleting it is safe, everything in it can be installed again"
    return failure(step, tail=str(error), hint=hint)


def _hint(output: str, request: Request, cache: Path, versions: tuple[str, ...]) -> str:
    missing = _missing(output) if _GO_PROXY.search(output) else None
    for rule in () if missing else _RULES:
        found = rule.sign.search(output)
        if found:
            groups = [group for group in found.groups() if group]
            return rule.hint.format(*groups, *[""] * 4, cache=cache)
    missing = missing or _missing(output)
    if missing == "version":
        if versions:
            shown = ", ".join(versions[:8]) + (" …" if len(versions) > 8 else "")
            return f"versions of {request.name} that exist: {shown}"
        return f"ask for a version of {request.name} that exists, or for none: then the newest is taken"
    if missing == "package":
        near = nearest(request.kind, request.name)
        if near:
            return f"did you mean {' or '.join(near)}?"
        return f"check the name: {request.kind} knows no {request.name}"
    return "the lines above are the end of the installer's output"


def _readable(output: str) -> str:
    """The last lines that say something."""
    output = output.partition("npm error Usage:")[0]  # npm prints its whole help after some errors
    lines = [line.rstrip() for line in output.splitlines() if not _NOISE.search(line)]
    return "\n".join(lines[-_KEPT_LINES:]).strip()
