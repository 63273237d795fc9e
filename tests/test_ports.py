"""The ports as Python sees them; their rules are tested in rust/ledger."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest
from backstay import NotHeld, PortHeld, Ports, PortsExhausted
from backstay.ledger import port_is_free
from hypothesis import given
from hypothesis import strategies as st


def test_the_lowest_port_goes_first_and_comes_back_to_its_holder() -> None:
    ports = Ports(30000, 32000)
    with ports.lease("web.1") as lease:
        assert (lease.port, lease.holder) == (30000, "web.1")
    assert not lease.held
    assert ports.lease("db.1").port == 30001
    assert ports.lease("web.1").port == 30000


def test_a_fixed_port_is_refused_with_its_holder() -> None:
    ports = Ports(30000, 32000)
    ports.lease("redis", port=6379)
    with pytest.raises(PortHeld, match="port 6379 is held by `redis`") as caught:
        ports.lease("other", port=6379)
    assert (caught.value.port, caught.value.holder) == (6379, "redis")
    assert ports.holders() == {6379: "redis"}
    assert (ports.first, ports.last, ports.free) == (30000, 32000, 2001)


def test_an_empty_pool_says_so() -> None:
    ports = Ports(30000, 30000)
    ports.lease("a")
    with pytest.raises(PortsExhausted, match="no port is free in 30000-30000"):
        ports.lease("b")
    ports.release(30000)
    with pytest.raises(NotHeld):
        ports.release(30000)


def test_a_probe_passes_over_what_a_stranger_listens_on() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        assert not port_is_free(taken)
        ports = Ports(taken, min(taken + 50, 65535))
        assert ports.lease("web", probe=True).port != taken
        with pytest.raises(PortHeld, match="used by a process outside the fleet") as caught:
            ports.lease("web", port=taken, probe=True)
        assert caught.value.holder is None
        assert ports.holder(taken) is None
    assert port_is_free(taken)


def test_a_preferred_port_and_a_run_of_ports() -> None:
    ports = Ports(30000, 30009)
    assert ports.lease("a", prefer=30004).port == 30004
    assert ports.lease("b", prefer=30004).port == 30000
    assert [lease.port for lease in ports.lease_run("c", 3)] == [30001, 30002, 30003]
    with pytest.raises(PortsExhausted, match="no 6 ports in a row are free in 30000-30009"):
        ports.lease_run("d", 6)


SERVER = """
import socket, sys
with socket.socket(fileno=int(sys.argv[1])) as listener:
    client, _ = listener.accept()
    with client:
        client.sendall(b"taken over")
"""


def test_a_service_takes_over_the_socket_that_was_bound_for_it() -> None:
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        taken = stranger.getsockname()[1]
        ports = Ports(taken, min(taken + 50, 65535))
        lease, listener = ports.listen("web.1")
        with pytest.raises(PortHeld, match="used by a process outside the fleet"):
            ports.listen("db.1", port=taken)
    assert lease.port != taken
    with listener:
        number = listener.fileno()
        child = subprocess.Popen([sys.executable, "-c", SERVER, str(number)], pass_fds=[number])
    with socket.create_connection(("127.0.0.1", lease.port)) as client:
        assert client.recv(100) == b"taken over"
    assert child.wait() == 0
    with lease.listen(host="127.0.0.1") as again:
        assert again.getsockname() == ("127.0.0.1", lease.port)
    assert lease.release()
    with pytest.raises(NotHeld):
        lease.listen()
    with pytest.raises(OSError, match=r"cannot listen on port \d+ of 192.0.2.1"):
        ports.listen("web.1", host="192.0.2.1")
    with pytest.raises(ValueError, match="`localhost` is not an IP address"):
        ports.listen("web.1", host="localhost")
    assert ports.holders() == {}


@given(
    st.lists(st.tuples(st.sampled_from(["lease", "fixed", "release"]), st.integers(0, 3), st.integers(1, 9)))
)
def test_no_port_is_lent_twice_and_none_is_lost(steps: list[tuple[str, int, int]]) -> None:
    ports = Ports(3, 8)
    held: dict[int, str] = {}
    for action, who, port in steps:
        name = f"s.{who}"
        inside = sum(3 <= port <= 8 for port in held)
        if action == "release":
            if held.pop(port, None) is None:
                with pytest.raises(NotHeld):
                    ports.release(port)
            else:
                ports.release(port)
        elif action == "fixed" and port in held:
            with pytest.raises(PortHeld):
                ports.lease(name, port=port)
        elif action == "lease" and inside == 6:
            with pytest.raises(PortsExhausted):
                ports.lease(name)
        else:
            lease = ports.lease(name, port=port if action == "fixed" else None)
            assert lease.port not in held
            held[lease.port] = name
        assert ports.holders() == held
        assert ports.free == 6 - sum(3 <= port <= 8 for port in held)


@pytest.mark.parametrize(("first", "last"), [(0, 10), (10, 9), (-1, 5), (5, 70000)])
def test_what_is_no_range_is_refused(first: int, last: int) -> None:
    with pytest.raises((ValueError, OverflowError)):
        Ports(first, last)


def test_reprs_say_what_is_there() -> None:
    ports = Ports(30000, 30009)
    lease = ports.lease("web.1")
    assert repr(lease) == 'PortLease(30000, "web.1")'
    lease.release()
    assert repr(lease) == 'PortLease(30000, "web.1", given back)'
    assert repr(ports) == "<Ports 30000-30009, 10 free>"
