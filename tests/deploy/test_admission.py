"""Leases: all or nothing, never more than there is, given back when they end."""

from __future__ import annotations

import socket

import pytest
from backstay.deploy.admission import LeaseBook, Wish
from backstay.deploy.state import Need
from backstay.errors import DoesNotFit, PortHeld, PortsExhausted, ResourceError
from backstay.ledger import Ledger, Ports
from hypothesis import given, settings
from hypothesis import strategies as st

MIB = 1 << 20


def book(cpus: float = 4, memory: int = 1024 * MIB, first: int = 22000, last: int = 22009) -> LeaseBook:
    return LeaseBook(Ledger(cpus=cpus, memory=memory), Ports(first, last))


def test_what_does_not_fit_is_refused_and_says_who_holds_what():
    leases = book(cpus=2)
    leases.admit({"db.1": Wish(Need(milli_cpus=1500))})
    with pytest.raises(DoesNotFit, match=r"db\.1"):
        leases.admit({"api.1": Wish(Need(milli_cpus=300)), "api.2": Wish(Need(milli_cpus=300))})
    assert leases.holders() == {"db.1"}


def test_a_replacement_holds_the_greater_of_both_until_it_settles():
    leases = book()
    leases.admit({"db.1": Wish(Need(milli_cpus=1000, memory=100))})
    leases.admit({"db.1": Wish(Need(milli_cpus=500, memory=900))})
    assert leases.need("db.1") == Need(milli_cpus=1000, memory=900)
    leases.hold_exactly("db.1", Need(milli_cpus=500, memory=900))
    assert leases.ledger.usage().used.cpus == 0.5


def test_a_refusal_takes_no_port():
    leases = book(cpus=1)
    with pytest.raises(DoesNotFit):
        leases.admit({"db.1": Wish(Need(milli_cpus=2000), {"main": None})})
    assert leases.pool.holders() == {}


def test_a_failed_attempt_gives_all_of_it_back_and_nothing_else():
    leases = book()
    leases.admit({"db.1": Wish(Need(milli_cpus=1000), {"main": 22003}), "old.1": Wish(ports={"http": 22004})})
    before = leases.dump()

    def replace_and_then_ask_for_too_much() -> None:
        with leases.attempt():
            leases.release("old.1")
            leases.admit({"new.1": Wish(Need(milli_cpus=500), {"http": 22004})})  # the port of what just left
            with pytest.raises(PortHeld):
                leases.admit({"api.1": Wish(Need(milli_cpus=500), {"http": 22003})})
            assert leases.holders() == {"db.1", "new.1"}, "an attempt within takes back its own only"
            leases.admit({"db.1": Wish(Need(milli_cpus=3900))})

    with pytest.raises(DoesNotFit):
        replace_and_then_ask_for_too_much()
    assert leases.dump() == before


def test_a_port_that_the_fleet_holds_is_refused_with_its_holder():
    leases = book()
    leases.admit({"db.1": Wish(ports={"main": 22005})})
    with pytest.raises(PortHeld, match=r"db\.1") as caught:
        leases.admit({"api.1": Wish(ports={"http": 22005})})
    assert "`http` of `api`" in (caught.value.hint or "")


def test_a_port_that_a_stranger_holds_is_refused():
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        with pytest.raises(PortHeld):
            book().admit({"api.1": Wish(ports={"http": stranger.getsockname()[1]})})


def test_an_instance_keeps_its_ports():
    leases = book()
    leases.admit({"db.1": Wish(ports={"main": None})})
    port = leases.ports("db.1")["main"]
    leases.admit({"db.1": Wish(ports={"main": None, "admin": None})})
    assert leases.ports("db.1")["main"] == port


def test_no_free_port_says_how_to_get_more():
    leases = book(first=22000, last=22000)
    leases.admit({"a.1": Wish(ports={"x": None})}, probe=False)
    with pytest.raises(PortsExhausted) as caught:
        leases.admit({"b.1": Wish(ports={"x": None})}, probe=False)
    assert "22000-22000" in (caught.value.hint or "")


def test_what_a_former_daemon_held_is_taken_again():
    leases = book()
    leases.admit({"db.1": Wish(Need(milli_cpus=700, memory=MIB), {"main": None, "admin": None})})
    dumped = leases.dump()
    again = book()
    again.restore(dumped)
    assert again.dump() == dumped
    assert again.ledger.usage().used == leases.ledger.usage().used


NEEDS = st.builds(
    Need, milli_cpus=st.integers(0, 1500), memory=st.integers(0, 400 * MIB), milli_gpus=st.just(0)
)
NAMES = st.sampled_from([f"{service}.{n}" for service in "abc" for n in (1, 2)])
WISHES = st.dictionaries(
    NAMES, st.builds(Wish, NEEDS, st.dictionaries(st.sampled_from("xyz"), st.none())), max_size=4
)
STEPS = st.lists(
    st.one_of(
        WISHES.map(lambda wishes: ("admit", wishes)),
        st.tuples(st.just("shrink"), NAMES),
        st.tuples(st.just("release"), NAMES),
    ),
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_the_books_are_never_over_committed_and_end_empty(steps):
    leases = book(cpus=3, memory=1024 * MIB)
    for kind, what in steps:
        before = leases.dump()
        if kind == "admit":
            try:
                leases.admit(what, probe=False)
            except ResourceError:
                assert leases.dump() == before, "a refusal changes nothing"
        elif kind == "shrink":
            leases.hold_exactly(what, Need())
        else:
            leases.release(what)
        usage = leases.ledger.usage()
        assert usage.used.cpus <= 3
        assert usage.used.memory <= 1024 * MIB
        held = [leases.need(name) for name in leases.holders()]
        assert round(usage.used.cpus * 1000) == sum(need.milli_cpus for need in held)
        assert usage.used.memory == sum(need.memory for need in held)
        assert len(leases.pool.holders()) == sum(len(leases.ports(name)) for name in leases.holders())
    for name in leases.holders():
        leases.release(name)
    assert leases.ledger.holders() == {}
    assert leases.pool.holders() == {}
    assert leases.held_by("a") == []
