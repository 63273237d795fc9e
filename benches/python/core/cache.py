"""The cache, beside what one would otherwise take."""

from __future__ import annotations

import random
from collections import OrderedDict
from functools import lru_cache, partial
from typing import Any

import cachebox
import cachetools
import lru
import moka_py
from backstay import Cache
from compare import Inline, compare, say

ENTRIES = 10_000


def run() -> None:
    """One entry at a time, in batches, with lifetimes, and how many hits that brings."""
    singles()
    batches()
    lifetimes()
    prediction()
    hit_rates()


def peers() -> dict[str, Any]:
    """Full caches of as many entries, each under its name; ours first."""
    made: dict[str, Any] = {
        "Cache": Cache(ENTRIES),
        "cachebox.LRUCache": cachebox.LRUCache(ENTRIES),
        "cachebox.FIFOCache": cachebox.FIFOCache(ENTRIES),
        "lru_dict": lru.LRU(ENTRIES),
        "cachetools.LRUCache": cachetools.LRUCache(ENTRIES),
    }
    for cache in made.values():
        for key in range(ENTRIES):
            cache[f"key-{key}"] = key
    return made


def of_moka() -> Any:
    """Another such, which has methods for it instead of brackets."""
    moka = moka_py.Moka(ENTRIES)
    for key in range(ENTRIES):
        moka.set(f"key-{key}", key)
    return moka


def get_all(cache: Any, keys: list[str]) -> None:
    """Get each of them in turn: other than one and the same key, each changes the order of who leaves."""
    get = cache.get
    for key in keys:
        get(key)


def singles() -> None:
    """Get, set, and get or set, of one entry."""
    caches, moka = peers(), of_moka()
    plain = {f"key-{key}": key for key in range(ENTRIES)}
    key = f"key-{ENTRIES // 2}"
    # Equal and not the same object, as keys are that come from elsewhere.
    twin = "".join(list(key))

    def lines(statement: str, names: dict[str, Any]) -> dict[str, Inline]:
        return {
            name: Inline(statement, {"cache": cache, "key": key, "twin": twin})
            for name, cache in names.items()
        }

    def with_moka(statement: str) -> dict[str, Inline]:
        return {"moka_py.Moka": Inline(statement, {"cache": moka, "key": key})}

    compare("cache: get", lines("cache.get(key)", caches) | with_moka("cache.get(key)"))
    compare("cache: get, an equal key", lines("cache.get(twin)", caches))
    mixed = [f"key-{at}" for at in random.Random(3).choices(range(ENTRIES), k=1000)]
    each = {name: partial(get_all, cache, mixed) for name, cache in caches.items()}
    compare("cache: get, 1,000 keys at random, each", each, calls=50, per=1000)
    compare("cache: cache[key]", lines("cache[key]", caches | {"dict": plain}))
    compare("cache: get, not there", lines("cache.get(-1)", caches))
    compare("cache: set again", lines("cache[key] = 1", caches) | with_moka("cache.set(key, 1)"))

    @lru_cache(maxsize=ENTRIES)
    def cached(_: str) -> int:
        return 1

    @cachebox.cached(cachebox.LRUCache(ENTRIES))
    def boxed(_: str) -> int:
        return 1

    def load(_: str) -> int:
        return 1

    names = {"ours": caches["Cache"], "box": caches["cachebox.LRUCache"], "moka": moka}
    names |= {"cached": cached, "boxed": boxed, "load": load, "key": key}
    statements = {
        "Cache.get_or_set": "ours.get_or_set(key, load)",
        "cachebox setdefault": "box.setdefault(key, 1)",
        "cachebox.cached": "boxed(key)",
        "moka_py get_with": "moka.get_with(key, lambda: 1)",
        "functools.lru_cache": "cached(key)",
    }
    compare("cache: get or set, there", {name: Inline(text, names) for name, text in statements.items()})
    fresh = iter(range(10**9))
    compare(
        "cache: get or set, not there, full",
        {
            "Cache.get_or_set": lambda: caches["Cache"].get_or_set(next(fresh), load),
            "cachebox setdefault": lambda: caches["cachebox.LRUCache"].setdefault(next(fresh), 1),
            "cachebox.cached": lambda: boxed(next(fresh)),
            "functools.lru_cache": lambda: cached(next(fresh)),
        },
    )
    compare(
        "cache: set a new one, full",
        {
            name: Inline("cache[next(fresh)] = 1", {"cache": cache, "fresh": fresh})
            for name, cache in caches.items()
        },
    )


def batches() -> None:
    """A thousand at once; each line is one operation."""
    ours = peers()["Cache"]
    keys = [f"key-{key}" for key in random.Random(1).sample(range(ENTRIES), 1000)]
    values: list[object] = list(range(1000))
    compare(
        "cache: batch of 1,000, each",
        {"get_many": lambda: ours.get_many(keys), "set_many": lambda: ours.set_many(keys, values)},
        calls=200,
        per=1000,
    )


def lifetimes() -> None:
    """Get from caches whose entries end."""
    caches: dict[str, Any] = {
        "Cache(ttl)": Cache(ENTRIES, ttl=3600),
        "Cache(ttl, idle)": Cache(ENTRIES, ttl=3600, idle=600),
        "cachebox.TTLCache": cachebox.TTLCache(ENTRIES, 3600),
        "cachetools.TTLCache": cachetools.TTLCache(ENTRIES, 3600),
    }
    lines = {}
    for name, cache in caches.items():
        cache["key"] = 1
        lines[name] = Inline("cache.get('key')", {"cache": cache})
    compare("cache: get, with a lifetime", lines)


def prediction() -> None:
    """What loading ahead costs where there is nothing to predict: it is off unless asked for."""
    lines = {}
    for name, cache in {"ahead=0": Cache(ENTRIES), "ahead=4": Cache(ENTRIES, ahead=4)}.items():
        cache["key"] = 1
        lines[name] = Inline("cache.get_or_set('key', int)", {"cache": cache})
    compare("cache: get or set, prediction", lines)
    fresh = iter(range(10**9))
    lines = {}
    for name, cache in {"ahead=0": Cache(ENTRIES), "ahead=4": Cache(ENTRIES, ahead=4)}.items():
        lines[name] = Inline("cache.get_or_set(next(fresh), int)", {"cache": cache, "fresh": fresh})
    compare("cache: get or set, prediction, missed", lines)


def hit_rates() -> None:
    """One short trace through each, from Python; `cargo bench --bench cache_traces` has all."""
    rng = random.Random(2)
    weights: OrderedDict[int, float] = OrderedDict((key, 1 / (key + 1)) for key in range(100_000))
    trace = rng.choices(list(weights), list(weights.values()), k=300_000)
    made: dict[str, Any] = {
        "Cache": Cache(ENTRIES),
        "cachebox.LRUCache": cachebox.LRUCache(ENTRIES),
        "cachebox.LFUCache": cachebox.LFUCache(ENTRIES),
        "cachetools.LRUCache": cachetools.LRUCache(ENTRIES),
    }
    for name, cache in made.items():
        hits = 0
        for key in trace:
            if cache.get(key) is None:
                cache[key] = True
            else:
                hits += 1
        say("cache: hits, zipf 1.0 of 100,000", name, hits / len(trace) * 100, "%")
