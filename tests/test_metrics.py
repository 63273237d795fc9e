"""Metrics as Python sees them, beside prometheus_client; their rules are tested in rust/telemetry."""

from __future__ import annotations

import doctest
import gc
import sys
import threading
import weakref
from pathlib import Path

import prometheus_client
import pytest
from backstay import metrics
from backstay.errors import MetricError
from backstay.metrics import Counter, Gauge, Histogram, LogLinear, Registry, exponential, linear
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

TEXT = st.text(max_size=12)
VALUES = st.floats(allow_nan=False, width=32)


def samples(text: str) -> set[tuple[str, tuple[tuple[str, str], ...], float]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())), float(sample.value))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.tuples(TEXT, TEXT, st.floats(0, 1e9), VALUES), max_size=20))
def test_the_exposition_reads_like_prometheus_clients(rows: list[tuple[str, str, float, float]]) -> None:
    ours, theirs = Registry(), prometheus_client.CollectorRegistry()
    labels = ["a", "b"]
    counters = (
        Counter("calls", "Calls\n\\", labels, registry=ours),
        prometheus_client.Counter("calls", "Calls\n\\", labels, registry=theirs),
    )
    gauges = (
        Gauge("load", "Load", labels, registry=ours),
        prometheus_client.Gauge("load", "Load", labels, registry=theirs),
    )
    histograms = (
        Histogram("seconds", "Time", labels, registry=ours),
        prometheus_client.Histogram("seconds", "Time", labels, registry=theirs),
    )
    for a, b, amount, value in rows:
        for counter in counters:
            counter.labels(a, b).inc(amount)
        for gauge in gauges:
            gauge.labels(a=a, b=b).set(value)
        for histogram in histograms:
            histogram.labels(a, b).observe(amount)
    text = ours.render().decode()
    assert samples(text) == samples(prometheus_client.generate_latest(theirs).decode())
    list(openmetrics.text_string_to_metric_families(ours.render(openmetrics=True).decode()))


def test_a_registry_is_a_collector_of_prometheus_client() -> None:
    series, program = Registry(), prometheus_client.CollectorRegistry()
    calls = Counter("calls_total", "Calls", ["tool"], registry=series)
    calls.labels("echo").inc(3)
    Histogram("seconds", "Time", buckets=[1.0], registry=series).observe(0.5)
    program.register(series)
    prometheus_client.Gauge("own", "The program's own", registry=program).set(1)
    assert program.get_sample_value("calls_total", {"tool": "echo"}) == 3.0
    assert program.get_sample_value("seconds_bucket", {"le": "1.0"}) == 1.0
    assert program.get_sample_value("own") == 1.0
    with pytest.raises(ValueError, match="Duplicated"):
        prometheus_client.Counter("calls", "Another", registry=program)


def test_the_interface_is_prometheus_clients() -> None:
    series = Registry()
    gauge = Gauge("level", "Level", namespace="app", subsystem="pool", unit="bytes", registry=series)
    gauge.set(5)
    gauge.inc()
    gauge.dec(2)
    assert (gauge.value, "app_pool_level_bytes 4" in series.render().decode()) == (4.0, True)
    gauge.set_to_current_time()
    assert gauge.value > 1.6e9
    counter = Counter("errors", "Errors", registry=series)

    @counter.count_exceptions()
    def fail() -> None:
        raise KeyError("x")

    for _ in range(2):
        with pytest.raises(KeyError):
            fail()
    assert counter.value == 2.0
    busy = Gauge("busy", "Busy", registry=series)
    with busy.track_inprogress(), busy.track_inprogress():
        assert busy.value == 2.0
    assert busy.value == 0.0
    seconds = Histogram("seconds", "Time", registry=series)

    @seconds.time()
    def fast() -> int:
        return 7

    assert (fast(), fast(), seconds.count) == (7, 7, 2)
    assert 0.0 <= seconds.sum < 5.0
    assert seconds.quantile(0.5) is not None


def test_a_function_gives_a_gauge_its_value_at_each_exposition(capsys: pytest.CaptureFixture[str]) -> None:
    series = Registry()
    values = iter([1, 2])
    gauge = Gauge("next", "Next", registry=series)
    gauge.set_function(lambda: next(values))
    assert b"next 1\n" in series.render()
    assert b"next 2\n" in series.render()
    unraised: list[object] = []
    before = sys.unraisablehook
    sys.unraisablehook = lambda hook: unraised.append(hook.exc_type)
    try:
        assert b"next 2\n" in series.render()
    finally:
        sys.unraisablehook = before
    assert unraised == [StopIteration]


def test_misuse_is_an_error() -> None:
    series = Registry()
    calls = Counter("calls", "Calls", ["tool"], registry=series)
    with pytest.raises(TypeError, match=r"`calls` has labels: call labels\(...\) first"):
        calls.inc()
    with pytest.raises(MetricError, match="cannot be changed by -1"):
        calls.labels("echo").inc(-1)
    with pytest.raises(MetricError, match="has 1 labels, not 2"):
        calls.labels("echo", "more")
    with pytest.raises(TypeError, match="labels are tool"):
        calls.labels("echo", tool="echo")
    with pytest.raises(TypeError, match="label `tool` is missing"):
        calls.labels(tol="echo")
    with pytest.raises(ValueError, match="registered already"):
        Gauge("calls", "Calls", registry=series)
    with pytest.raises(MetricError, match="not a valid metric name"):
        Counter("no-dash", "", registry=series)
    with pytest.raises(MetricError, match="will not do: they are not ascending"):
        Histogram("h", "", registry=series, buckets=[2, 1])


def test_a_full_family_keeps_counting_in_its_overflow_series() -> None:
    series = Registry()
    calls = Counter("calls", "Calls", ["tool"], registry=series, cap=2)
    for i in range(5):
        calls.labels(str(i)).inc()
    assert calls.labels(metrics.OVERFLOW).value == 3.0
    assert calls.remove("0")
    calls.clear()
    assert b"calls_total{" not in series.render()


def test_series_that_nobody_holds_and_nothing_changes_are_swept() -> None:
    series = Registry()
    calls = Counter("calls", "Calls", ["tool"], registry=series)
    held = calls.labels("held")
    calls.labels("gone").inc()
    assert [series.sweep(1) for _ in range(3)] == [0, 1, 0]
    held.inc()
    assert series.render().endswith(b'calls_total{tool="held"} 1\n')
    assert series.unregister("calls_total")


def test_without_a_registry_a_metric_goes_to_the_default_one() -> None:
    Counter("default_registry_calls", "Calls").inc()
    assert b"default_registry_calls_total 1\n" in metrics.REGISTRY.render()
    metrics.REGISTRY.unregister("default_registry_calls")


def test_threads_lose_nothing() -> None:
    counter = Counter("calls", "Calls", ["tool"], registry=Registry())

    def work() -> None:
        for i in range(2000):
            counter.labels(str(i % 3)).inc()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counter.labels(str(i)).value for i in range(3)) == 16_000


def test_a_child_is_the_same_object_however_it_is_asked_for() -> None:
    series = Registry()
    calls = Counter("calls", "Calls", ["service", "tool"], registry=series)
    child = calls.labels("files", "read")
    for asked in (
        calls.labels("files", "read"),
        calls.labels("".join(["fi", "les"]), "".join(["re", "ad"])),
        calls.labels(tool="read", service="files"),
    ):
        assert asked is child
    numbers = Counter("numbers", "By number", ["n"], registry=series)
    assert numbers.labels(5) is numbers.labels("5")
    assert calls.labels("read", "files") is not child


def test_a_child_of_a_removed_series_is_not_given_out_again() -> None:
    series = Registry()
    calls = Counter("calls", "Calls", ["tool"], registry=series)
    again = Counter("calls", "Calls", ["tool"], registry=series)
    old = calls.labels("echo")
    old.inc()
    assert again.remove("echo")
    new = calls.labels("echo")
    assert new is not old
    new.inc(5)
    old.inc(100)
    assert series.render().endswith(b'calls_total{tool="echo"} 5\n')


def test_more_children_than_are_remembered_keep_their_counts() -> None:
    calls = Counter("calls", "Calls", ["a", "b"], registry=Registry())
    for _ in range(3):
        for i in range(2_000):
            calls.labels(f"{i % 40}", f"{i}").inc()
    assert all(calls.labels(f"{i % 40}", f"{i}").value == 3.0 for i in range(2_000))


def test_metrics_that_are_gone_leave_nothing_behind() -> None:
    class Watched(Registry):
        pass

    series = Watched()
    calls = Counter("calls", "Calls", ["tool"], registry=series)
    calls.labels("echo").inc()
    gone = weakref.ref(series)
    before = sys.getrefcount(Counter)
    for i in range(100):
        Counter(f"c{i}", "", ["tool"], registry=series).labels("echo").inc()
    gc.collect()
    assert sys.getrefcount(Counter) - before < 10
    del series, calls
    gc.collect()
    assert gone() is None


def test_counters_count_exactly_whatever_is_added() -> None:
    series = Registry()
    counter = Counter("amounts", "Amounts", registry=series)
    for amount in (1, 0.25, 2**40, 0, 0.5, True):
        counter.inc(amount)
    assert counter.value == 2**40 + 2.75
    assert series.render().endswith(b"amounts_total 1099511627778.75\n")
    counter.inc(float("inf"))
    assert series.render().endswith(b"amounts_total +Inf\n")


def test_a_registry_says_how_much_it_holds() -> None:
    registry = metrics.Registry()
    assert repr(registry) == "<Registry of 0 families, 0 samples>"
    calls = metrics.Counter("calls_total", "Calls", ["tool"], registry=registry)
    calls.labels("echo").inc()
    calls.labels("add").inc()
    assert repr(registry) == "<Registry of 1 families, 2 samples>"


def test_a_log_linear_histogram_knows_its_quantiles() -> None:
    series = Registry()
    buckets = LogLinear(1e-6, 3600, error=0.01)
    assert repr(buckets) == "LogLinear(0.000001, 3600, error=0.01)"
    seconds = Histogram("seconds", "Time", ["tool"], buckets=buckets, registry=series).labels("echo")
    for i in range(1, 10_001):
        seconds.observe(i / 1000)
    for q in (0.01, 0.5, 0.9, 0.99, 0.999):
        quantile = seconds.quantile(q)
        assert quantile is not None
        assert abs(quantile - q * 10) <= q * 10 * 0.01
    (family,) = text_string_to_metric_families(series.render().decode())
    at = {sample.labels["le"]: sample.value for sample in family.samples if sample.name.endswith("_bucket")}
    assert (at["1.0"], at["4.0"], at["+Inf"]) == (1000.0, 4000.0, 10_000.0)
    assert len(at) < 40
    with pytest.raises(MetricError, match="lowest bound is not positive"):
        Histogram("none", "", buckets=LogLinear(0, 1), registry=series)


def test_bounds_come_as_a_list_that_grows_by_steps_or_by_factors() -> None:
    assert exponential(1, 2, 4) == [1.0, 2.0, 4.0, 8.0]
    assert linear(0.5, 0.25, 3) == [0.5, 0.75, 1.0]
    histogram = Histogram("sizes", "Sizes", buckets=exponential(1, 10, 3), registry=Registry())
    histogram.observe(50)
    assert histogram.count == 1


def test_what_found_its_family_full_is_counted() -> None:
    calls = Counter("calls", "Calls", ["tool"], registry=Registry(), cap=1)
    for i in range(4):
        calls.labels(str(i)).inc()
    assert (calls.overflowed, calls.labels(metrics.OVERFLOW).value) == (3, 3.0)


def test_the_guide_does_what_it_says() -> None:
    guide = Path(__file__).parents[1] / "docs" / "guide" / "metrics.md"
    failed, tried = doctest.testfile(str(guide), module_relative=False)
    assert (failed, tried > 10) == (0, True)
