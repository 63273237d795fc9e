"""`traffic`: how calls to a server are balanced, limited and protected.

What a service does not say, the fleet says (`gateway.traffic`); what neither says is safe without being
asked: breakers, ejection, and retries where they are safe; no limit. `rust/gateway/src/traffic` applies it.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, WithJsonSchema, model_validator

from backstay.config.models.base import Model, kind_of, quoted, refuse, spelling
from backstay.config.models.deploy import read_ratio
from backstay.config.models.scalars import Count, Duration, Flag, parse_count, parse_duration

Balance = Literal["least-outstanding", "round-robin", "hash"]
Affinity = Literal["none", "session"]

RATE: Final = re.compile(r"\s*(\d{1,9})\s*(?:/|per)\s*(.*\S)\s*")
PERIODS: Final = {
    "s": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}
RATE_HINT: Final = "write a number of calls and a time, such as `100/s`, `30/min` or `5/10s`"
FASTEST: Final = 10_000_000.0
MOST_AT_A_TIME: Final = 1_000_000


def read_rate(value: Any) -> str:
    """Read `100/s`, `30/min` or `5/10s`.

    >>> read_rate(" 30 / minute ")
    '30/minute'
    """
    text = spelling(value) if isinstance(value, str) else ""
    match = RATE.fullmatch(text)
    if match is None:
        raise refuse(f"expected a rate, got {kind_of(value)}", RATE_HINT)
    calls, period = rate_of(f"{match[1]}/{match[2]}")
    if calls == 0 or period < 0.001:
        raise refuse(f"{quoted(text)} lets no call through", RATE_HINT)
    if calls / period > FASTEST:
        raise refuse(
            f"{quoted(text)} is no limit", "leave it out, or write a rate below ten million a second"
        )
    return f"{int(match[1])}/{match[2]}"


def rate_of(rate: str) -> tuple[int, float]:
    """Give the calls of a rate and the seconds in which they may come.

    >>> rate_of("100/s"), rate_of("5/10s")
    ((100, 1.0), (5, 10.0))
    """
    calls, _, period = rate.partition("/")
    seconds = PERIODS.get(period)
    return int(calls), parse_duration(period) if seconds is None else seconds


def read_at_least_one(value: Any) -> int:
    """Read a whole number from 1."""
    count = parse_count(value)
    if not 1 <= count <= MOST_AT_A_TIME:
        raise refuse(f"{count} is out of range", f"write a number from 1 to {MOST_AT_A_TIME}")
    return count


def read_positive(value: Any) -> float:
    """Read a time that is longer than nothing."""
    seconds = parse_duration(value)
    if seconds < 0.001:
        raise refuse(f"{quoted(spelling(value))} is too short", "write a time from `1ms`")
    return seconds


AtLeastOne = Annotated[
    int, BeforeValidator(read_at_least_one), WithJsonSchema({"type": "integer", "minimum": 1})
]
Ratio = Annotated[
    float, BeforeValidator(read_ratio), WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1})
]


class RateLimit(Model):
    """How many calls a time may bring; what is over is refused and told when to come back."""

    rate: Annotated[
        str,
        BeforeValidator(read_rate),
        WithJsonSchema(
            {"type": "string", "pattern": r"^\s*\d+\s*(/|per)\s*\S+\s*$", "description": RATE_HINT}
        ),
    ]
    """Calls and the time they may come in: `100/s`, `30/min`, `5/10s`."""
    burst: AtLeastOne | None = None
    """How many of them may come at once; all of one period where not given."""
    per: Literal["client", "tool", "service"] = "client"
    """What each has this limit for itself: `client` (its address, on one machine its session), `tool`,
    `service`."""

    @property
    def at_once(self) -> int:
        """How many calls may come at once."""
        return self.burst or min(rate_of(self.rate)[0], MOST_AT_A_TIME)

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`100/s` alone is `{rate: 100/s}`, for each client."""
        return {"rate": value} if isinstance(value, str) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "string", "pattern": r"^\s*\d+\s*(/|per)\s*\S+\s*$"}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `limits: [{rate: 100/s, per: client}]`"


class Concurrency(Model):
    """How many calls may be under way at a time; the others wait, and what would wait too long is refused."""

    max: AtLeastOne
    """Calls under way at a time, to all instances together."""
    queue: Count = 100
    """Calls that may wait for one to end."""
    wait: Duration = 10.0
    """How long one may wait. While the queue never empties, a tenth of it: one that stands helps nobody."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """A number alone is `{max: …}`."""
        return {"max": value} if isinstance(value, int) and not isinstance(value, bool) else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "integer", "minimum": 1}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `concurrency: {max: 32}`"


class Protection(Model):
    """What protects unless it is switched off."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`false` is `{disable: true}`."""
        return {"disable": True} if value is False else value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"const": False}]


class Breaker(Protection):
    """When a tool of an instance that does not answer is left alone for a while; an error is an answer."""

    disable: Flag = False
    """No breakers."""
    failures: Ratio = 0.5
    """The part of the calls that may fail before it opens."""
    least: AtLeastOne = 5
    """Calls in the window before it judges."""
    window: Annotated[Duration, BeforeValidator(read_positive)] = 10.0
    """How far back calls count."""
    open: Annotated[Duration, BeforeValidator(read_positive)] = 1.0
    """How long it refuses before one call may try; doubled each time that fails."""
    open_at_most: Annotated[Duration, BeforeValidator(read_positive)] = 60.0
    """The longest it refuses."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `breaker: {least: 5, open: 1s}`, or `breaker: false`"


class Ejection(Protection):
    """When an instance is not asked for a while and others get its calls; never most of them at once."""

    disable: Flag = False
    """No ejection."""
    failures: AtLeastOne = 5
    """Calls in a row that it did not answer."""
    rest: Annotated[Duration, BeforeValidator(read_positive)] = 30.0
    """How long it rests; doubled each time."""
    rest_at_most: Annotated[Duration, BeforeValidator(read_positive)] = 300.0
    """The longest it rests."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `ejection: {failures: 5, rest: 30s}`, or `ejection: false`"


class Retries(Model):
    """How calls are tried again: those never sent, and those of tools of which twice is as good as once."""

    attempts: AtLeastOne = 2
    """Attempts at one call, the first included; 1 for no retries. A call that may have been received is only
    tried again where its tool says `readOnlyHint` or `idempotentHint`."""
    budget: Ratio = 0.2
    """Retries for each call, on the average: more would add load to what has too much."""
    pause: Duration = 0.025
    """The longest pause before the first retry; doubled each time, and never the same."""
    pause_at_most: Duration = 1.0
    """The longest pause before any."""

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """`false` is `{attempts: 1}`, and a number is the number of retries."""
        if isinstance(value, int):  # a bool too: `true` says nothing
            return {} if value is True else {"attempts": int(value) + 1}
        return value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return [{"type": "boolean"}, {"type": "integer", "minimum": 0}]

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `retries: {attempts: 2}`, or `retries: false`"


class Timeouts(Model):
    """How long calls may take."""

    attempt: Annotated[Duration, BeforeValidator(read_positive)] | None = None
    """The longest silence of one attempt; `mcp.call_timeout` where not given."""
    overall: Annotated[Duration, BeforeValidator(read_positive)] | None = None
    """The longest a call may take in all, whatever it does: its waiting and its retries included."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `timeouts: {attempt: 10s, overall: 30s}`"

    @model_validator(mode="after")
    def _attempt_within(self) -> Timeouts:
        if self.attempt and self.overall and self.attempt > self.overall:
            raise refuse("an `attempt` is given more time than the call `overall`", "lower `attempt`")
        return self


class Traffic(Model):
    """How calls are balanced, limited and protected. What is not given here is as `gateway.traffic` says."""

    balance: Balance | None = None
    """Which instance gets a call: `least-outstanding` (the less busy of two taken at random), `round-robin`,
    or `hash` (the same for the same session, as long as it is there)."""
    affinity: Affinity | None = None
    """`session`: a client session stays with the instance it met first, as long as that is ready."""
    limits: tuple[RateLimit, ...] | None = None
    """How many calls a time may bring."""
    concurrency: Concurrency | None = None
    """How many calls may be under way at a time."""
    breaker: Breaker | None = None
    """When a tool of an instance is not asked for a while."""
    ejection: Ejection | None = None
    """When an instance is not asked for a while."""
    retries: Retries | None = None
    """How calls are tried again."""
    timeouts: Timeouts | None = None
    """How long calls may take."""
    slow_start: Duration | None = None
    """How long a new instance takes to get its whole share of the calls; it begins with a tenth."""

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return "write `traffic: {limits: [{rate: 100/s}], concurrency: {max: 32}}`"

    def over(self, fleet: Traffic) -> Traffic:
        """Give what holds: this where it says something, else what the fleet says."""
        said = {name: getattr(self, name) for name in type(self).model_fields}
        return fleet.model_copy(update={name: value for name, value in said.items() if value is not None})
