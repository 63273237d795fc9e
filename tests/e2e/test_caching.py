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


def test_a_second_level_of_the_fleet_itself_is_found_by_its_port_and_its_secret(
    databases: None, fleet_folder: FleetFolder, python_server: list[str]
) -> None:
    password = "of/redis@ its: own %"
    port = "{{ ports.main }}"
    words = ["redis-server", "--port", port, "--save", "", "--requirepass", password]
    services = {
        "redis": {"command": words, "ports": {"main": "auto"}, "healthcheck": {"tcp": "main"}},
        "counter": {
            "command": python_server,
            "mcp": {"transport": "stdio"},
            "cache": {"tools": ["count"], "ttl": "1h"},
            "depends_on": ["redis"],
        },
    }
    url = "redis://:{{ secrets.redis }}@127.0.0.1:{{ services.redis.ports.main }}/0"
    listen = f"127.0.0.1:{fleet_folder.gateway_port}"
    second = {"url": url, "write": "through", "timeout": "5s"}
    fleet_folder.write(
        services,
        secrets={"redis": {"environment": "REDIS_PASSWORD"}},
        gateway={"listen": listen, "cache": {"second": second}},
    )
    fleet_folder.environ["REDIS_PASSWORD"] = password
    fleet_folder.run("up", "-d")
    assert fleet_folder.run("call", "counter", "count").stdout.strip() == "1"
    daemon = fleet_folder.json("ps")["daemon"]["pid"]
    os.kill(daemon, signal.SIGKILL)
    eventually(lambda: fleet_folder.json("ps")["daemon"]["pid"] != daemon)
    assert fleet_folder.run("call", "counter", "count").stdout.strip() == "1"
    with urlopen(f"http://{listen}/metrics") as answer:
        assert 'result="second"} 1' in answer.read().decode()
    # With another password nothing is lost but the second level, and that is told.
    fleet_folder.environ["REDIS_PASSWORD"] = "another"
    fleet_folder.run("up", "-d")
    fleet_folder.run("call", "counter", "echo", "text=it writes")
    for _ in range(3):
        fleet_folder.run("call", "counter", "count")
        fleet_folder.run("call", "counter", "echo", "text=it writes")
    eventually(lambda: "cache.lost" in fleet_folder.run("events").stdout)
    told = fleet_folder.run("events").stdout
    assert "WRONGPASS" in told
    assert password not in told


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
