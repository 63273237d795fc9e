"""A machine that will not play along: no network, a full disk, a read-only folder, a taken port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.conftest import BACKSTAY, FleetFolder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.fleet

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a filesystem or makes a network namespace")


def explained(done: subprocess.CompletedProcess[str]) -> str:
    """What the command said, having checked that it is an error and a hint and no traceback."""
    assert done.returncode in (1, 2), done.stdout + done.stderr
    assert "error:" in done.stderr, done.stderr
    assert "hint:" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@as_root
def test_a_full_disk_is_said_and_leaves_nothing_running(small_disk: Path, python_server: list[str]) -> None:
    fleet = FleetFolder(small_disk)
    fleet.write({"plain": {"command": python_server, "mcp": {"transport": "stdio"}}})
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    try:
        told = explained(fleet.run("up", "-d", code=None))
        assert "is full" in told
    finally:
        filler.unlink()
        fleet.down()


@as_root
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, python_server: list[str]) -> None:
    folder = tmp_path / "readonly"
    folder.mkdir()
    fleet = FleetFolder(folder)
    fleet.write({"plain": {"command": python_server, "mcp": {"transport": "stdio"}}})
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    try:
        told = explained(fleet.run("up", "-d", code=None))
        assert str(folder) in told or ".backstay" in told
        assert "Read-only" in told or "cannot be written" in told
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_taken_gateway_port_is_said(fleet_folder: FleetFolder, python_server: list[str]) -> None:
    fleet_folder.write({"plain": {"command": python_server, "mcp": {"transport": "stdio"}}})
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", fleet_folder.gateway_port))
        taken.listen()
        told = explained(fleet_folder.run("up", "-d", code=None))
    assert str(fleet_folder.gateway_port) in told


@as_root
def test_without_a_network_a_package_that_is_not_cached_is_said(fleet_folder: FleetFolder) -> None:
    fleet_folder.environ["XDG_CACHE_HOME"] = str(fleet_folder.folder / "cache")
    fleet_folder.environ["UV_CACHE_DIR"] = str(fleet_folder.folder / "uv")
    fleet_folder.environ["npm_config_cache"] = str(fleet_folder.folder / "npm")
    fleet_folder.environ["npm_config_fetch_retries"] = "0"
    fleet_folder.write(
        {
            "time": {"mcp": "pypi:mcp-server-time"},
            "memory": {"mcp": "npm:@modelcontextprotocol/server-memory"},
        }
    )
    script = 'ip link set lo up && exec "$0" up -d'
    done = subprocess.run(
        [shutil.which("unshare") or "unshare", "--net", "sh", "-c", script, BACKSTAY],
        cwd=fleet_folder.folder,
        env=fleet_folder.environ,
        timeout=240,
        check=False,
        text=True,
        capture_output=True,
    )
    told = explained(done)
    assert "time" in told
    assert "memory" in told
    assert "network" in told


def test_a_package_that_does_not_exist_is_said(fleet_folder: FleetFolder) -> None:
    fleet_folder.write(
        {
            "one": {"mcp": "npm:@modelcontextprotocol/server-memry"},
            "two": {"mcp": "pypi:mcp-server-thyme"},
            "three": {"mcp": "pypi:mcp-server-time==99.0"},
            "four": {"mcp": "npm:@modelcontextprotocol/server-memory@^9999"},
        }
    )
    told = explained(fleet_folder.run("up", "-d", code=None))
    for service in ("one", "two", "three", "four"):
        assert service in told
    assert "server-memry" in told
    assert "99.0" in told
