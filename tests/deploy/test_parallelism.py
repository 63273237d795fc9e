"""How much starts at once, by what the machine says of itself."""

from __future__ import annotations

import pytest
from backstay.deploy.parallelism import Reading, limits, read
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("reading", "starts"),
    [
        (Reading(cpus=1, load=0, pressure=0), 2),
        (Reading(cpus=64, load=0, pressure=0), 128),
        (Reading(cpus=8, load=4, pressure=0), 8),
        (Reading(cpus=8, load=100, pressure=0), 8),
        (Reading(cpus=8, load=0, pressure=100), 1),
        (Reading(cpus=8, load=0, pressure=None), 16),
        (Reading(cpus=0.5, load=0, pressure=0), 2),
    ],
)
def test_a_reading_gives_a_number(reading: Reading, starts: int):
    assert limits(reading).starts == starts


def test_our_own_starts_are_not_counted_against_us():
    assert limits(Reading(cpus=8, load=4, pressure=0, own=4)).starts == 16


READINGS = st.builds(
    Reading,
    cpus=st.floats(0.1, 512),
    load=st.floats(0, 10_000),
    pressure=st.one_of(st.none(), st.floats(0, 100)),
    own=st.integers(0, 100),
)


@given(READINGS)
def test_something_always_starts(reading: Reading):
    assert limits(reading).starts >= 1
    assert limits(reading).installs >= 2


@given(READINGS, st.floats(0, 100))
def test_more_pressure_never_means_more_starts(reading: Reading, more: float):
    pressure = reading.pressure or 0.0
    pressed = Reading(reading.cpus, reading.load, min(100.0, pressure + more), reading.own)
    calm = Reading(reading.cpus, reading.load, pressure, reading.own)
    assert limits(pressed).starts <= limits(calm).starts


def test_the_machine_answers():
    reading = read()
    assert reading.cpus > 0
    assert reading.load >= 0
