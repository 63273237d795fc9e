"""A fleet's series in an embedding program's own registry."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import prometheus_client
import pytest
from backstay.client.sockets import short_address
from backstay.metrics import Counter, Histogram, Registry
from backstay.observe.collector import FleetCollector

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def series() -> Registry:
    series = Registry()
    Counter("backstay_calls", "Calls", ["service", "tool"], registry=series).labels("time", "now").inc(4)
    Histogram("backstay_seconds", "Time", ["service"], registry=series).labels("time").observe(0.02)
    return series


@pytest.fixture
def gateway(tmp_path: Path, series: Registry) -> Iterator[Path]:
    """The trusted socket of a gateway that knows one path."""
    state_dir = tmp_path / ("deep" * 30)
    (state_dir / "run").mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as listener:
        with short_address(state_dir / "run" / "gateway.sock") as address:
            listener.bind(address)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    found = connection.recv(4096).startswith(b"GET /metrics ")
                    body = series.render() if found else b""
                    status = "200 OK" if found else "404 Not Found"
                    head = f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n"
                    connection.sendall(head.encode() + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield state_dir
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_programs_registry_shows_the_series_of_its_fleet(gateway: Path, series: Registry) -> None:
    program = prometheus_client.CollectorRegistry()
    program.register(FleetCollector(gateway))
    labels = {"service": "time", "tool": "now"}
    assert program.get_sample_value("backstay_calls_total", labels) == 4.0
    assert program.get_sample_value("backstay_fleet_up") == 1.0
    assert program.get_sample_value("backstay_seconds_count", {"service": "time"}) == 1.0
    shown = set(prometheus_client.generate_latest(program).decode().splitlines())
    ours = [line for line in series.render().decode().splitlines() if line.startswith("#")]
    assert set(ours) <= shown


def test_a_fleet_that_is_down_fails_no_scrape(tmp_path: Path) -> None:
    program = prometheus_client.CollectorRegistry()
    program.register(FleetCollector(tmp_path))
    assert program.get_sample_value("backstay_fleet_up") == 0.0
    assert b"backstay_fleet_up 0.0" in prometheus_client.generate_latest(program)
