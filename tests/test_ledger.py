"""The ledger as Python sees it; its rules are tested in rust/ledger."""

from __future__ import annotations

import doctest
import threading
from array import array
from pathlib import Path
from typing import Any

import backstay._core
import pytest
from backstay import AlreadyHeld, DoesNotFit, Ledger, NotHeld, Resources
from backstay.ledger import Batch, Claim, capacity, format_size, parse_size
from hypothesis import given
from hypothesis import strategies as st

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


def test_a_quota_counts_in_the_pools_around_it() -> None:
    ledger = Ledger(cpus=4, memory="8Gi")
    ledger.add_pool("fleet", cpus=2, within="machine")
    ledger.add_pool("web", memory="1Gi", within="fleet")
    with ledger.reserve("web.1", cpus=1.5, memory="1Gi", pool="web"):
        assert ledger.usage().used == ledger.usage(pool="fleet").used == Resources(cpus=1.5, memory="1Gi")
        assert list(ledger.holders()) == ["fleet/web/web.1"]
        with pytest.raises(DoesNotFit, match=r"into pool `fleet`: cpus 1 asked, 0\.5 of 2 free") as caught:
            ledger.reserve("web.2", cpus=1, pool="web")
        assert caught.value.pool == "fleet"
        with pytest.raises(ValueError, match="pool `web` is in use"):
            ledger.remove_pool("web")
    ledger.remove_pool("web")
    assert ledger.pools() == ["machine", "fleet"]
    with pytest.raises(ValueError, match="no pool `tape`"):
        ledger.add_pool("disk", within="tape")


def test_a_claim_reserves_in_its_block_and_names_why_it_cannot() -> None:
    ledger = Ledger(cpus=1)
    claim = ledger.claim("web.1", Resources(cpus=1))
    assert isinstance(claim, Claim)
    with claim as same:
        assert same is claim
        assert claim.held
        assert ledger.held("web.1") == claim.resources
        assert not claim.try_reserve()
        with pytest.raises(AlreadyHeld):
            claim.reserve()
    assert not claim.held
    assert not claim.release()
    ledger.hold("db.1", Resources(cpus=0.5))
    with pytest.raises(DoesNotFit, match=r"held by `db.1` 0\.5"), claim:
        pass
    assert repr(claim) == "<Claim \"web.1\" cpus=1, memory='0', storage='0', gpus=0>"


def test_resources_are_given_whole_or_one_by_one_but_not_both() -> None:
    ledger = Ledger(cpus=4, memory="8Gi")
    want = Resources(cpus=0.5, memory="512Mi")
    assert want == Resources(memory=1 << 29, cpus=0.5)
    assert hash(want) == hash(Resources(cpus=0.5, memory="512Mi"))
    assert ledger.reserve("a", want).resources == want
    with pytest.raises(TypeError, match="whole or one by one"):
        ledger.reserve("b", want, cpus=1)


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview", "array"])
def test_a_batch_reads_any_buffer_and_its_handles_are_good_once(kind: str) -> None:
    ledger = Ledger(cpus=1)
    packed = bytes(Resources(cpus=0.3)) * 4
    requests = {
        "bytes": packed,
        "bytearray": bytearray(packed),
        "memoryview": memoryview(packed)[:],
        "array": array("Q", packed),
    }[kind]
    with ledger.batch("crawler") as batch:
        assert isinstance(batch, Batch)
        handles = batch.reserve(requests)
        assert [handle != 0 for handle in memoryview(handles).cast("Q")] == [True, True, True, False]
        assert (len(batch), batch.resources) == (3, Resources(cpus=0.9))
        assert ledger.holders() == {"crawler": Resources(cpus=0.9)}
        assert batch.held(handles) == b"\x07"
        assert batch.release(handles[:8]) == 1
        assert batch.release(handles) == 2
        batch.reserve(requests)
    assert ledger.usage().used == Resources()
    assert repr(batch) == '<Batch "crawler", closed>'
    with pytest.raises(NotHeld):
        batch.reserve(requests)


@pytest.mark.parametrize("bad", [b"x" * 31, array("d", [1.0] * 4), "text", 5])
def test_what_is_no_packed_request_is_refused(bad: Any) -> None:
    batch = Ledger(cpus=1).batch("a")
    with pytest.raises((TypeError, ValueError), match="bytes"):
        batch.reserve(bad)
    assert len(batch) == 0


AMOUNTS = st.tuples(*[st.integers(0, 5_000)] * 4)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["reserve", "hold", "claim"]), st.integers(0, 4), AMOUNTS),
    st.tuples(st.just("release"), st.integers(0, 4), AMOUNTS),
    st.tuples(st.just("resize"), st.just(0), AMOUNTS),
)


def resources(amounts: tuple[int, ...]) -> Resources:
    cpus, memory, storage, gpus = amounts
    return Resources(cpus=cpus / 1000, memory=memory, storage=storage, gpus=gpus / 1000)


@given(AMOUNTS, st.lists(STEPS, max_size=60))
def test_it_agrees_with_a_ledger_kept_by_hand(
    capacity: tuple[int, ...], steps: list[tuple[str, int, tuple[int, ...]]]
) -> None:
    have = resources(capacity)
    ledger = Ledger(cpus=have.cpus, memory=have.memory, storage=have.storage, gpus=have.gpus)
    held: dict[str, tuple[int, ...]] = {}
    for action, who, amounts in steps:
        name = f"s.{who}"
        used = [sum(each) for each in zip(*held.values(), strict=True)] or [0] * 4
        fits = all(want <= max(most - of, 0) for want, of, most in zip(amounts, used, capacity, strict=True))
        want = resources(amounts)
        if action == "release":
            if held.pop(name, None) is None:
                with pytest.raises(NotHeld):
                    ledger.release(name)
            else:
                ledger.release(name)
        elif action == "resize":
            capacity = amounts
            ledger.resize(cpus=want.cpus, memory=want.memory, storage=want.storage, gpus=want.gpus)
        elif name in held:
            with pytest.raises(AlreadyHeld):
                ledger.reserve(name, want)
        elif not fits:
            assert not ledger.fits(want)
            with pytest.raises(DoesNotFit):
                ledger.reserve(name, want)
        else:
            held[name] = amounts
            if action == "claim":
                ledger.claim(name, want).reserve()
            else:
                getattr(ledger, action)(name, want)
        assert ledger.holders() == {name: resources(amounts) for name, amounts in held.items()}


def test_the_examples_of_the_guide_and_of_the_classes_hold() -> None:
    guide = Path(__file__).parents[1] / "docs" / "guide" / "ledger.md"
    failed, tried = doctest.testfile(str(guide), module_relative=False)
    assert (failed, tried > 30) == (0, True)
    finder, runner = doctest.DocTestFinder(recurse=False), doctest.DocTestRunner()
    names = dict(vars(backstay._core))
    for named in ("Batch", "Claim", "Ledger", "Ports", "Resources", "parse_size", "format_size"):
        for example in finder.find(names[named], named, module=False, globs=dict(names)):
            assert runner.run(example).attempted > 0, named
    assert runner.summarize().failed == 0


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
