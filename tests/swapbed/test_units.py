"""Numbers for people: never an exponent, never off by more than the digits shown, and readable back where languages can."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages.units import parse_duration, parse_rate
from swapbed.present import units


@pytest.mark.parametrize(("value", "text"), [(0.02, "20 ms"), (0, "0"), (1.5e-6, "1.5 µs"), (12.34, "12.3 s"), (90, "1 min 30 s"),
                                             (7265, "2 h 1 min"), (-0.005, "-5 ms"), (3e-7, "0.3 µs")])
def test_durations(value: float, text: str) -> None:
    assert units.duration(value) == text


@pytest.mark.parametrize(("value", "text"), [(10_000_000, "10 Mbit/s"), (1_544_000, "1.54 Mbit/s"),
                                             (2.5e9, "2.5 Gbit/s"), (999, "999 bit/s"), (0, "0")])
def test_rates(value: float, text: str) -> None:
    assert units.rate(value) == text


def test_no_rate_is_called_what_it_means_there() -> None:
    assert units.rate(0, zero="unlimited") == "unlimited"


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (1023, "1023 B"), (64 << 10, "64 KiB"), (1.5 * 2**30, "1.5 GiB")])
def test_sizes(value: float, text: str) -> None:
    assert units.size(value) == text


@given(st.floats(min_value=1e-6, max_value=89, allow_nan=False))
def test_a_duration_reads_back_within_its_three_digits(value: float) -> None:
    assert math.isclose(parse_duration(units.duration(value).replace(" ", "")), value, rel_tol=0.006)


@given(st.integers(min_value=1, max_value=10**12))
def test_a_rate_reads_back_within_its_three_digits(value: int) -> None:
    text = units.rate(value)
    assert "e" not in text
    assert math.isclose(parse_rate(text.replace(" ", "").replace("kbit/s", "Kbit/s")), value, rel_tol=0.006)
