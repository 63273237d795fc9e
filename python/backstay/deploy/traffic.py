"""From the stack file's words on traffic to the gateway's numbers, every default filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backstay.config.models import Breaker, Ejection, Retries, Timeouts
from backstay.config.models.traffic import rate_of
from backstay.engines.spec import Traffic

if TYPE_CHECKING:
    from backstay.config.models import RateLimit
    from backstay.config.models import Traffic as Wanted

__all__ = ["traffic"]


def traffic(wanted: Wanted) -> Traffic:
    """Say how calls to a server are let go."""
    breaker = wanted.breaker or Breaker()
    ejection = wanted.ejection or Ejection()
    retries = wanted.retries or Retries()
    timeouts = wanted.timeouts or Timeouts()
    queue = wanted.concurrency
    return Traffic(
        balance=wanted.balance or "least-outstanding",
        affinity=wanted.affinity or "none",
        limits=tuple(_limit(limit) for limit in wanted.limits or ()),
        concurrency=None
        if queue is None
        else {"most": queue.max, "queue": queue.queue, "wait_ms": _ms(queue.wait)},
        breaker=None
        if breaker.disable
        else {
            "failures": breaker.failures,
            "least": breaker.least,
            "window_ms": _ms(breaker.window),
            "open_ms": _ms(breaker.open),
            "open_at_most_ms": _ms(breaker.open_at_most),
        },
        ejection=None
        if ejection.disable
        else {
            "failures": ejection.failures,
            "rest_ms": _ms(ejection.rest),
            "rest_at_most_ms": _ms(ejection.rest_at_most),
        },
        retries={
            "attempts": retries.attempts,
            "budget": retries.budget,
            "pause_ms": _ms(retries.pause),
            "pause_at_most_ms": _ms(retries.pause_at_most),
        },
        attempt_ms=None if timeouts.attempt is None else _ms(timeouts.attempt),
        overall_ms=None if timeouts.overall is None else _ms(timeouts.overall),
        slow_start_ms=_ms(wanted.slow_start or 0.0),
    )


def _limit(limit: RateLimit) -> dict[str, int | str]:
    calls, period = rate_of(limit.rate)
    return {
        "calls": calls,
        "period_ms": _ms(period),
        "burst": limit.at_once,
        "per": limit.per,
        "shown": limit.rate,
    }


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
