"""What a user reads when an install fails: one message, one thing to try, nothing half-done."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from backstay.packages import PackageError, Request
from backstay.packages.failure import explain, explain_os_error
from backstay.packages.runner import CommandFailed

from tests.packages.handmade_wheels import wheel
from tests.packages.package_user import said

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.packages.package_user import User


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes."""
    mount = tmp_path / "disk"
    mount.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)], capture_output=True, check=False
    )
    if made.returncode != 0:
        pytest.skip("needs the right to mount")
    yield mount
    subprocess.run(["umount", "-l", str(mount)], check=True)


async def test_a_full_disk_is_named_and_left_as_it_was(user: User, small_disk: Path) -> None:
    noise = os.urandom(2_500_000).hex()
    wheel(user.root / "wheels", "server", "1.0", source=f"DATA = '{noise}'\ndef main(): pass\n")
    user.root = small_disk
    user.stack.mkdir()
    with pytest.raises(PackageError) as failed:
        await user.install("pypi:server", save=False)
    assert "No space left on device" in said(failed.value)
    assert failed.value.hint == (
        f"free some space on the disk that holds {user.cache}, or set XDG_CACHE_HOME to a larger one"
    )
    assert user.entries() == []


async def test_a_cache_that_cannot_be_made_is_named(user: User) -> None:
    wheel(user.root / "wheels", "server", "1.0")
    (user.root / "cache").write_text("a file where a directory should be")
    with pytest.raises(PackageError) as failed:
        await user.install("pypi:server")
    assert failed.value.step == "install pypi:server"
    assert f"look at {user.cache}" in str(failed.value.hint)


async def test_a_read_only_cache_is_named(user: User, small_disk: Path) -> None:
    wheel(user.root / "wheels", "server", "1.0")
    user.root = small_disk
    user.stack.mkdir()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(PackageError) as failed:
        await user.install("pypi:server", save=False)
    assert "Read-only file system" in said(failed.value)
    assert failed.value.hint == f"make {user.cache} writable, or set XDG_CACHE_HOME to a directory that is"


async def test_offline_without_lock_and_cache_says_what_would_have_helped(user: User) -> None:
    user.environ.pop("PIP_NO_INDEX")
    user.environ.pop("PIP_FIND_LINKS")
    with pytest.raises(PackageError) as failed:
        await user.install("pypi:server", offline=True)
    assert "What is in backstay.lock and the cache starts without network" in str(failed.value.hint)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (28, "free some space on the disk that holds /c, or set XDG_CACHE_HOME to a larger one"),
        (30, "make /c writable, or set XDG_CACHE_HOME to a directory that is"),
        (13, "make /c writable, or set XDG_CACHE_HOME to a directory that is"),
        (5, "look at /c; deleting it is safe, everything in it can be installed again"),
    ],
)
def test_what_the_system_refuses_has_a_cure(number: int, hint: str) -> None:
    error = explain_os_error(OSError(number, os.strerror(number), "/c/x"), "install npm:x", Path("/c"))
    assert error.hint == hint
    assert str(error).startswith("could not install npm:x: [Errno ")


#: The end of what installers really print, and the hint it leads to.
OUTPUTS = {
    "npm-dns": (
        "npm",
        """
npm error code ENOTFOUND
npm error syscall getaddrinfo
npm error network request to the registry failed, reason: getaddrinfo ENOTFOUND registry
""",
        "check the network and the proxy",
    ),
    "npm-auth": (
        "npm",
        """
npm error code E401
npm error Unable to authenticate, need: Bearer
""",
        "the registry refuses: check the token",
    ),
    "npm-certificate": (
        "npm",
        """
npm error code SELF_SIGNED_CERT_IN_CHAIN
npm error self-signed certificate in certificate chain
""",
        "the registry's certificate is not trusted",
    ),
    "npm-gyp": (
        "npm",
        """
npm error gyp ERR! build error
npm error gyp ERR! stack Error: not found: make
""",
        "a compiler is missing: install one",
    ),
    "npm-disk": (
        "npm",
        """
npm error code ENOSPC
npm error nospc There appears to be insufficient space on your system to finish.
""",
        "free some space on the disk that holds /cache",
    ),
    "uv-compiler": (
        "pypi",
        """
  [stderr]
  error: command 'gcc' failed: No such file or directory
""",
        "a compiler is missing: install one",
    ),
    "uv-header": (
        "pypi",
        """
  psutil/arch/all/init.h:10:10: fatal error: Python.h: No such file or directory
""",
        "install Python's headers",
    ),
    "uv-tls": (
        "pypi",
        """
error: Failed to fetch
  Caused by: invalid peer certificate: UnknownIssuer
""",
        "the registry's certificate is not trusted",
    ),
    "uv-dns": (
        "pypi",
        """
  Caused by: error sending request for url
  Caused by: client error (Connect)
  Caused by: dns error
""",
        "check the network and the proxy",
    ),
    "cargo-linker": (
        "cargo",
        """
error: linker `cc` not found
  = note: No such file or directory (os error 2)
""",
        "a compiler is missing: install one",
    ),
    "cargo-rustc": (
        "cargo",
        """
error: package `x v1.0.0` cannot be built because it requires rustc 1.99 or newer
""",
        "install a newer Rust: `rustup update`",
    ),
    "cargo-network": (
        "cargo",
        """
error: failed to get `serde`
Caused by:
  [6] Could not resolve hostname (Could not resolve host: index)
""",
        "check the network and the proxy",
    ),
    "go-version": (
        "go",
        """
go: example.com/x@v1.0.0 requires go >= 1.99 (running go 1.26.8; GOTOOLCHAIN=local)
""",
        "install Go 1.99 or newer",
    ),
    "go-sum": (
        "go",
        """
verifying example.com/x@v1.0.0: checksum mismatch
	downloaded: h1:a
	go.sum: h1:b
SECURITY ERROR
""",
        "the registry serves other bytes than backstay.lock pins",
    ),
    "go-repository": (
        "go",
        """
go: module example.com/x: reading https://proxy.example/example.com/x/@v/list: 404 Not Found
	server response: not found
""",
        "check the name: go knows no thing",
    ),
    "npm-read-only": (
        "npm",
        """
npm error code EROFS
npm error read-only file system
""",
        "set XDG_CACHE_HOME",
    ),
}


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_an_installers_output_leads_to_what_to_try(name: str) -> None:
    kind, tail, hint = OUTPUTS[name]
    failed = CommandFailed("install it", [kind], 1, tail)
    error = explain(failed, Request(kind, "thing"), Path("/cache"))
    assert str(error.hint).startswith(hint)
    assert tail.strip().splitlines()[-1].strip() in said(error)


def test_a_message_reads_well() -> None:
    tail = (
        "npm warn deprecated x\n\nnpm error code E404\nnpm error 404 Not Found - GET thing\nnpm error 404\n"
        "npm error A complete log of this run can be found in: /tmp/log"
    )
    request = Request("npm", "@modelcontextprotocol/server-memry")
    error = explain(CommandFailed(f"resolve {request}", ["npm"], 1, tail), request, Path("/cache"))
    assert str(error) == (
        "could not resolve npm:@modelcontextprotocol/server-memry: npm error 404 Not Found - GET thing"
    )
    assert error.hint == "did you mean npm:@modelcontextprotocol/server-memory?"


def test_two_processes_that_install_the_same_package_install_it_once(user: User) -> None:
    wheel(user.root / "wheels", "server", "1.0")
    program = (
        "import asyncio, json, os, sys\n"
        "from pathlib import Path\n"
        "from tests.packages.package_user import User\n"
        "user = User(Path(sys.argv[1]), dict(os.environ))\n"
        "launch = asyncio.run(user.install('pypi:server', save=False))\n"
        "print(json.dumps([launch.argv, user.progress.count('pypi:server 1.0')]))\n"
    )
    command = [sys.executable, "-c", program, str(user.root)]
    here = str(Path(__file__).parents[2])
    env = {**user.environ, "PYTHONPATH": here}
    running = [
        subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True, cwd=here) for _ in range(3)
    ]
    said = [process.communicate(timeout=120)[0] for process in running]
    assert [process.returncode for process in running] == [0, 0, 0]
    assert len({line.split("]")[0] for line in said}) == 1
    assert sum(line.strip().endswith("1]") for line in said) == 1
    assert len(user.entries()) == 1
