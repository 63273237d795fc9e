"""Metrics with prometheus_client's interface, kept in Rust (`rust/telemetry`).

    series = metrics.Registry()
    calls = metrics.Counter("calls_total", "Calls", ["tool"], registry=series)
    calls.labels("echo").inc()
    series.render()  # the exposition, as bytes

A `Registry` is also a collector: `prometheus_client.REGISTRY.register(series)` shows its families beside the
program's own. Each family is capped: the series beyond `cap` share one whose labels all read `_other`.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from contextlib import ContextDecorator
from typing import TYPE_CHECKING, Self

from backstay._core import Counter, Gauge, Histogram, LogLinear, MetricRegistry, exponential, linear

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from prometheus_client.core import Metric

__all__ = [
    "OVERFLOW",
    "REGISTRY",
    "Around",
    "Counter",
    "ExceptionCounter",
    "Gauge",
    "Histogram",
    "InProgress",
    "LogLinear",
    "Registry",
    "Timer",
    "exponential",
    "linear",
]

OVERFLOW = "_other"
"""What every label of a full family's overflow series reads."""


class Registry(MetricRegistry):
    """The metric families of a program.

    Example:
        >>> series = Registry()
        >>> Counter("calls_total", "Calls", ["tool"], registry=series).labels("echo").inc(2)
        >>> print(series.render().decode(), end="")
        # HELP calls_total Calls
        # TYPE calls_total counter
        calls_total{tool="echo"} 2
    """

    def collect(self) -> Iterator[Metric]:
        """Every family, as prometheus_client has them: what its registries ask of a collector."""
        from backstay.observe.collector import metric

        return (metric(*family) for family in self.families())

    def describe(self) -> Iterator[Metric]:
        """The families without their samples, so that a registry can tell two of one name apart."""
        for family in self.collect():
            family.samples.clear()
            yield family

    def __repr__(self) -> str:
        """How much it holds, and of what."""
        families = self.families()
        samples = sum(len(family[-1]) for family in families)
        return f"<Registry of {len(families):,} families, {samples:,} samples>"


REGISTRY = Registry()
"""Where metrics go that name no registry."""


class Around(ContextDecorator):
    """Something measured around a block or a function: `with it: ...` or `@it`."""

    @abstractmethod
    def _recreate_cm(self) -> Self:
        """A fresh one for each call of a decorated function, which may run in several threads at once."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    @abstractmethod
    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End, and record."""


class Timer(Around):
    """Hands on how many seconds the block took."""

    def __init__(self, record: Callable[[float], object]) -> None:
        self._record = record
        self._began = 0.0

    def _recreate_cm(self) -> Self:
        return type(self)(self._record)

    def __enter__(self) -> Self:
        """Begin."""
        self._began = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Record, however the block ended."""
        self._record(max(time.perf_counter() - self._began, 0.0))


class InProgress(Around):
    """Keeps a gauge one higher while the block runs."""

    def __init__(self, gauge: Gauge) -> None:
        self._gauge = gauge

    def _recreate_cm(self) -> Self:
        return self

    def __enter__(self) -> Self:
        """Begin."""
        self._gauge.inc()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End."""
        self._gauge.dec()


class ExceptionCounter(Around):
    """Counts the exceptions that leave the block."""

    def __init__(self, counter: Counter, exception: type[BaseException] = Exception) -> None:
        self._counter = counter
        self._exception = exception

    def _recreate_cm(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Count, and let the exception pass."""
        if isinstance(error, self._exception):
            self._counter.inc()
