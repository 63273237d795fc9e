"""The ledger as Python sees it; its rules are tested in rust/ledger."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from backstay import AlreadyHeld, DoesNotFit, Ledger, NotHeld, Resources
from backstay.ledger import capacity, format_size, parse_size

if TYPE_CHECKING:
    from pathlib import Path

GIB = 1 << 30


def test_a_lease_is_given_back_at_the_end_of_its_block_even_after_an_error() -> None:
    ledger = Ledger(cpus=4, memory="8Gi")

    def use() -> None:
        with lease:
            assert lease.held
            raise RuntimeError("boom")

    lease = ledger.reserve("web.1", cpus=0.5, memory="512Mi")
    assert lease.holder == "web.1"
    with pytest.raises(RuntimeError, match="boom"):
        use()
    assert not lease.held
    assert lease.resources is None
    assert ledger.usage().used == Ledger().usage().used


def test_losing_the_object_gives_nothing_back() -> None:
    ledger = Ledger(cpus=1)
    ledger.reserve("web.1", cpus=1)
    assert ledger.holders()["web.1"].cpus == 1.0
    ledger.release("web.1")
    assert ledger.holders() == {}


def test_a_refusal_says_what_is_short_and_who_holds_it() -> None:
    ledger = Ledger(cpus=8, memory="8Gi")
    ledger.reserve("db.1", cpus=2, memory="6Gi")
    with pytest.raises(DoesNotFit, match=r"memory 3Gi asked, 2Gi of 8Gi free; held by `db.1` 6Gi") as caught:
        ledger.reserve("web.1", cpus=1, memory="3Gi")
    error = caught.value
    assert (error.pool, error.dimension) == ("machine", "memory")
    assert (error.asked, error.free, error.capacity) == (3 * GIB, 2 * GIB, 8 * GIB)
    assert error.holders == (("db.1", 6 * GIB),)
    assert ledger.usage().used.cpus == 2.0


def test_amounts_are_exact_to_the_byte_and_the_thousandth() -> None:
    ledger = Ledger(cpus=0.3, memory=100, gpus=1)
    for i in range(3):
        ledger.reserve(f"a.{i}", cpus=0.1, memory=33, gpus=0.333)
    assert not ledger.fits(cpus=0.001)
    assert ledger.fits(memory=1, gpus=0.001)
    assert not ledger.fits(memory=2)
    assert not ledger.fits(gpus=0.002)
    assert ledger.fits(cpus=0.1 + 0.2 - 0.3)


def test_returning_twice_or_what_was_never_held_is_an_error() -> None:
    ledger = Ledger(cpus=1)
    lease = ledger.reserve("a", cpus=1)
    with pytest.raises(AlreadyHeld):
        ledger.reserve("a", cpus=0.1)
    assert lease.release() is True
    assert lease.release() is False
    with pytest.raises(NotHeld, match="`a` holds nothing in pool `machine`"):
        ledger.release("a")


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        ({"cpus": -1}, ValueError),
        ({"cpus": float("nan")}, ValueError),
        ({"cpus": float("inf")}, ValueError),
        ({"memory": -1}, ValueError),
        ({"memory": "much"}, ValueError),
        ({"memory": 1.5}, TypeError),
        ({"memory": 1 << 70}, ValueError),
        ({"cpus": "2"}, TypeError),
        ({"disk": 1}, TypeError),
        ({"pool": "tape"}, ValueError),
    ],
)
def test_nonsense_is_refused_and_changes_nothing(bad: dict[str, Any], error: type[Exception]) -> None:
    ledger = Ledger(cpus=1)
    with pytest.raises(error):
        ledger.reserve("a", **bad)
    assert ledger.holders() == {}


def test_a_batch_is_all_or_nothing() -> None:
    ledger = Ledger(cpus=4, memory="1Gi")
    wanted = [("a", 1, "512Mi", 0, 0), ("b", 1, "512Mi", 0, 0)]
    assert [lease.holder for lease in ledger.reserve_all(wanted)] == ["a", "b"]
    with pytest.raises(DoesNotFit):
        ledger.reserve_all([("c", 1, 0, 0, 0), ("d", 1, 1, 0, 0)])
    assert list(ledger.holders()) == ["a", "b"]


def test_a_shrunken_pool_names_its_excess() -> None:
    ledger = Ledger(cpus=4, memory=100)
    ledger.reserve("a", cpus=3, memory=60)
    usage = ledger.resize(cpus=2)
    assert usage.excess.cpus == 1.0
    assert usage.capacity.memory == 100
    assert not ledger.fits(cpus=0.001)
    assert ledger.over_commit("cpus", 2.0).capacity.cpus == 4.0
    assert ledger.fits(cpus=1)
    with pytest.raises(ValueError, match="not one of cpus"):
        ledger.over_commit("disk", 2.0)  # type: ignore[arg-type]


def test_pools_are_apart() -> None:
    ledger = Ledger(cpus=1)
    ledger.add_pool("disk", storage="1Gi")
    ledger.reserve("a", storage="1Gi", pool="disk")
    ledger.reserve("a", cpus=1)
    assert ledger.pools() == ["machine", "disk"]
    assert ledger.held("a", pool="disk") == ledger.usage(pool="disk").used
    assert ledger.held("b") is None
    ledger.release("a", pool="disk")


def test_threads_share_a_ledger() -> None:
    ledger = Ledger(cpus=8)
    errors: list[Exception] = []

    def work(name: str) -> None:
        try:
            for _ in range(500):
                with ledger.reserve(name, cpus=1):
                    pass
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert ledger.usage().used.cpus == 0.0


def test_sizes_read_and_write() -> None:
    assert parse_size("1.5Gi") == parse_size("1536M") == 3 << 29
    assert format_size(3 << 29) == "1536Mi"
    with pytest.raises(ValueError, match="is not a size"):
        parse_size("-5")


def test_reprs_say_what_is_there() -> None:
    ledger = Ledger(cpus=4, memory="8Gi")
    lease = ledger.reserve("web.1", cpus=0.5)
    assert repr(lease) == "Lease(\"web.1\", cpus=0.5, memory='0', storage='0', gpus=0)"
    assert "cpus=3.5" in repr(ledger)
    assert isinstance(hash(ledger.usage().used), int)
    assert isinstance(ledger.held("web.1"), Resources)


def test_the_machine_has_what_its_cgroup_leaves_it(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "memory.max").write_text("1048576\n")
    found = capacity(tmp_path, cgroup=tmp_path)
    assert found["cpus"] == 0.5
    assert found["memory"] == 1048576
    assert found["storage"] > 0
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert capacity(tmp_path, cgroup=tmp_path)["cpus"] >= 1
    Ledger(**capacity())
