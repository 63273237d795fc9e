"""Whatever happens to it, it gives only what was set last."""

from __future__ import annotations

from typing import Any

from backstay import Cache
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cache.made import Clock

# Against a model.

KEYS = st.integers(0, 20) | st.text("ab", max_size=2) | st.tuples(st.integers(0, 3))
STEPS = st.lists(
    st.tuples(st.just("set"), KEYS, st.none() | st.integers(1, 30), st.none() | st.sampled_from("xy"))
    | st.tuples(st.sampled_from(["get", "pop", "load"]), KEYS)
    | st.tuples(st.just("invalidate"), st.sampled_from("xy"))
    | st.tuples(st.just("pass"), st.integers(1, 20)),
    max_size=80,
)


@settings(max_examples=200, deadline=None)
@given(capacity=st.integers(1, 12), steps=STEPS)
def test_a_cache_gives_only_what_was_set_last_and_is_not_over(capacity: int, steps: list[Any]) -> None:
    clock = Clock()
    cache: Cache[Any, int] = Cache(capacity, timer=clock)
    model: dict[Any, tuple[int, float, str | None]] = {}
    for number, (what, *rest) in enumerate(steps):
        if what == "set":
            key, ttl, tag = rest
            cache.set(key, number, ttl=ttl, tags=[tag] if tag else [])
            model[key] = (number, clock.now + (ttl or 1e9), tag)
            assert cache.peek(key) == number
        elif what == "invalidate":
            bearers = {key for key, (_, _, tag) in model.items() if tag == rest[0]}
            held = set(cache)
            cache.invalidate(rest[0])
            assert held - set(cache) == held & bearers
            model = {key: known for key, known in model.items() if key not in bearers}
        elif what == "pass":
            clock.now += rest[0]
        else:
            key = rest[0]
            value, over, _ = model.get(key, (None, 0.0, None))
            if what == "load":
                got = cache.get_or_set(key, lambda _, number=number: number)  # type: ignore[misc]
                if got == number:
                    model[key] = (number, clock.now + 1e9, None)
                    continue
            else:
                got = cache.get(key) if what == "get" else cache.pop(key, None)
            assert got is None or (got == value and clock.now < over)
            if what == "pop":
                model.pop(key, None)
        assert len(cache) <= capacity
