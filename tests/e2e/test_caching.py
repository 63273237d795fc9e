"""`cache:` with a second level: answers outlive the daemon, and calls go on when it is gone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from tests.e2e.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import FleetFolder

pytestmark = pytest.mark.fleet


@pytest.fixture(params=["redis", "memcached"])
def second(request: pytest.FixtureRequest, databases: None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A second level of each kind, and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    commands = {
        "redis": ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"],
        "memcached": ["memcached", "-u", "root", "-l", "127.0.0.1", "-p", str(port)],
    }
    with subprocess.Popen(commands[request.param], stdout=subprocess.DEVNULL) as process:
        yield f"{request.param}://127.0.0.1:{port}", process
        process.kill()


def test_answers_outlive_the_daemon_and_calls_go_on_without_the_second_level(
    second: tuple[str, subprocess.Popen[bytes]], fleet_folder: FleetFolder, python_server: list[str]
) -> None:
    url, process = second
    cache = {"tools": ["count"], "ttl": "1h"}
    counter = {"command": python_server, "mcp": {"transport": "stdio"}, "cache": cache}
    listen = f"127.0.0.1:{fleet_folder.gateway_port}"
    level = {"url": url, "write": "through", "timeout": "5s"}
    fleet_folder.write({"counter": counter}, gateway={"listen": listen, "cache": {"second": level}})
    fleet_folder.run("up", "-d")

    def count() -> str:
        return fleet_folder.run("call", "counter", "count").stdout.strip()

    assert [count(), count()] == ["1", "1"]
    daemon = fleet_folder.json("ps")["daemon"]["pid"]
    os.kill(daemon, signal.SIGKILL)
    eventually(lambda: fleet_folder.json("ps")["daemon"]["pid"] != daemon)
    assert count() == "1", "the server counts on, but it was not asked"
    with urlopen(f"http://{listen}/metrics") as answer:
        assert 'result="second"} 1' in answer.read().decode()
    process.kill()
    process.wait()
    fleet_folder.run("call", "counter", "echo", "text=it writes, for all that is known")
    assert count() == "2"
