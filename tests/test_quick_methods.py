"""Methods without PyO3 between (`rust/py/src/fast.rs`): they are what they replace."""

from __future__ import annotations

import gc
import inspect
import sys
from typing import Any

import pytest
from backstay import AlreadyHeld, Cache, Ledger, NotHeld, Ports, Resources, metrics
from backstay.ledger import Claim, Lease, PortLease

SOME = Resources(memory=1)


@pytest.mark.parametrize(
    ("method", "signature"),
    [
        (Cache.get, "(self, key, default=None, /)"),
        (Cache.get_or_set, "(self, key, loader)"),
        (Ledger.hold, "(self, holder, resources, *, pool=None)"),
        (Ledger.release, "(self, holder, *, pool=None)"),
        (Lease.release, "(self)"),
        (Claim.reserve, "(self)"),
        (Ports.lease, "(self, holder, *, port=None, prefer=None, probe=False)"),
        (PortLease.release, "(self)"),
        (metrics.Counter.labels, "(self, *labelvalues, **labelkwargs)"),
        (metrics.Counter.inc, "(self, amount=1.0)"),
        (metrics.Histogram.observe, "(self, amount)"),
    ],
)
def test_help_and_signatures_are_those_of_the_method_that_was_replaced(method: Any, signature: str) -> None:
    shown = str(inspect.signature(method)).replace("self, /", "self")
    assert shown == signature
    assert method.__doc__
    assert not method.__doc__.startswith(method.__name__)


def test_another_self_is_refused() -> None:
    for method, arguments in [(Cache.get, (1,)), (Lease.release, ()), (metrics.Counter.inc, ())]:
        with pytest.raises(TypeError, match="doesn't apply to a 'int' object"):
            method(3, *arguments)  # type: ignore[operator]


def test_brackets_find_what_is_there_and_say_what_is_not() -> None:
    face: Any = Cache
    cache = Cache[object, object](2)
    cache["a key"] = "its value"
    assert cache["a key"] == cache["".join(["a ", "key"])] == "its value"
    with pytest.raises(KeyError) as caught:
        cache["another"]
    assert caught.value.args == ("another",)
    with pytest.raises(TypeError, match="unhashable"):
        cache[[]]
    with pytest.raises(TypeError):
        face.__getitem__(3, "a key")


def test_caches_that_go_leave_their_class_as_it_was() -> None:
    def use() -> None:
        for _ in range(50):
            cache = Cache[str, object](2)
            cache["itself"] = cache
            assert cache["itself"] is cache

    use()
    gc.collect()
    before = sys.getrefcount(Cache)
    use()
    gc.collect()
    assert sys.getrefcount(Cache) == before
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("Mine", (Cache,), {})


def test_what_is_not_the_plain_case_means_what_it_always_meant() -> None:
    class Name(str):
        __slots__ = ()

    ledger = Ledger(memory=10)
    for _ in range(2):
        ledger.hold(holder="a", resources=SOME)
        ledger.release(holder="a", pool="machine")
        ledger.hold(Name("a"), SOME)
        ledger.release(Name("a"))
    counter = metrics.Counter("quick_total", "Quick", ["a", "b"], registry=metrics.Registry())
    for _ in range(2):
        counter.labels("x", "y").inc()
        counter.labels(b="y", a="x").inc(amount=2)
        counter.labels(*"xy").inc(3)
    assert counter.labels("x", "y").value == 12.0
    cache: Cache[str, int] = Cache(2)
    assert cache.get_or_set(loader=len, key="abc") == cache.get_or_set("abc", len) == 3


def test_wrong_arguments_are_refused_as_they_always_were() -> None:
    ledger, cache = Ledger(memory=10), Cache[Any, int](2)
    wrong: list[Any] = [
        lambda: cache.get(),  # type: ignore[call-overload]
        lambda: cache.get(1, 2, 3),  # type: ignore[call-overload]
        lambda: cache.get(key=1),  # type: ignore[call-overload]
        lambda: cache.get([]),
        lambda: ledger.hold("a"),  # type: ignore[call-arg]
        lambda: ledger.hold("a", 5),  # type: ignore[arg-type]
        lambda: ledger.hold(5, SOME),  # type: ignore[arg-type]
        lambda: ledger.release("a", "machine"),  # type: ignore[call-arg]
        lambda: ledger.reserve("a", SOME).release(1),  # type: ignore[call-arg]
    ]
    for call in wrong:
        with pytest.raises(TypeError):
            call()


def test_a_failure_in_a_quick_method_is_the_exception_it_always_was() -> None:
    ledger = Ledger(memory=10)
    for _ in range(2):  # the second time its holder is known
        ledger.hold("a", SOME)
        with pytest.raises(AlreadyHeld):
            ledger.hold("a", SOME)
        with pytest.raises(AlreadyHeld):
            ledger.reserve("a", SOME)
        ledger.release("a")
        with pytest.raises(NotHeld):
            ledger.release("a")


def test_an_ended_lease_that_somebody_keeps_stays_ended() -> None:
    ledger, ports = Ledger(memory=10), Ports(30000, 30001)
    old, old_port = ledger.reserve("a", SOME), ports.lease("a")
    assert old.release()
    assert old_port.release()
    new, new_port = ledger.reserve("a", SOME), ports.lease("a")
    assert new is not old
    assert new_port is not old_port
    assert not old.held
    assert not old.release()
    assert not old_port.release()
    assert new.held
    assert new_port.held


def test_a_lease_that_was_lost_is_not_given_back_when_its_holder_reserves_again() -> None:
    ledger, ports = Ledger(memory=10), Ports(30000, 30001)
    ledger.reserve("a", SOME)
    with pytest.raises(AlreadyHeld):
        ledger.reserve("a", SOME)
    assert ledger.holders() == {"a": SOME}
    assert [ports.lease("a").port for _ in range(2)] == [30000, 30001]
    assert ports.holders() == {30000: "a", 30001: "a"}


def test_a_loop_that_lets_go_of_the_old_lease_late_makes_no_object_a_turn() -> None:
    ledger, seen = Ledger(memory=10), set()
    for _ in range(10):
        lease = ledger.reserve("a", SOME)
        seen.add(id(lease))
        with lease:
            assert lease.held
        assert not lease.held
    assert len(seen) <= 3


def test_leases_of_many_holders_are_their_own() -> None:
    ledger = Ledger(memory=10_000)
    names = [f"holder-{number}" for number in range(2000)]
    for _ in range(2):
        leases = {name: ledger.reserve(name, Resources(memory=1)) for name in names}
        assert all(lease.holder == name for name, lease in leases.items())
        assert all(lease.release() for lease in leases.values())
    assert ledger.holders() == {}


def test_calling_leaves_no_reference_behind() -> None:
    ledger, cache, ports = Ledger(memory=10), Cache[str, object](2), Ports(30000, 30001)
    value, key, loader = object(), "some key", lambda _: object()
    counter = metrics.Counter("kept_total", "Kept", ["a"], registry=metrics.Registry())
    cache[key] = value

    def use() -> None:
        for _ in range(100):
            cache.get(key)
            cache.get("none", value)
            cache.get_or_set(key, loader)
            cache[key], cache["".join(["some", " key"])]
            with pytest.raises(KeyError):
                cache["none"]
            ledger.hold(key, SOME)
            ledger.release(key)
            ledger.reserve(key, SOME).release()
            ports.lease(key).release()
            counter.labels(key).inc()
            counter.labels(a=key).inc()

    use()
    gc.collect()
    watched = [value, key, loader, SOME, ledger, cache, ports, counter, None, True]
    before = [sys.getrefcount(object_) for object_ in watched]
    use()
    gc.collect()
    after = [sys.getrefcount(object_) for object_ in watched]
    assert [b - a for a, b in zip(before, after, strict=True)] == pytest.approx([0] * len(watched), abs=20)
