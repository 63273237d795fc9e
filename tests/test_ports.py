"""The ports as Python sees them; their rules are tested in rust/ledger."""

from __future__ import annotations

import socket

import pytest
from backstay import NotHeld, PortHeld, Ports, PortsExhausted
from backstay.ledger import port_is_free


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
