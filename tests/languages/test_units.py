"""Quantities as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages.units import (
    format_duration,
    format_loss,
    format_rate,
    format_size,
    parse_delay,
    parse_duration,
    parse_loss,
    parse_rate,
    parse_size,
)


@pytest.mark.parametrize(("text", "bps"), [
    ("10Mb", 10_000_000), ("10Mbit", 10_000_000), ("10Mbps", 10_000_000), ("10 Mb/s", 10_000_000), ("1.5Gbps", 1_500_000_000),
    ("512Kb", 512_000), ("512kbit", 512_000), ("100b", 100), ("10MB", 80_000_000), ("1KBps", 8_000), ("0.1Mb", 100_000),
    (".5Mb", 500_000),
    ("1e3Kb", 1_000_000), (0, 0), ("0", 0), ("0Mb", 0)])
def test_rates(text: str, bps: int) -> None:
    assert parse_rate(text) == bps


@pytest.mark.parametrize(("text", "seconds"), [
    ("20ms", 0.02), ("1h20m3s", 4803), ("2s", 2), ("100us", 0.0001), ("100µs", 0.0001), ("1m30s", 90), ("1d", 86400), ("250ns", 2.5e-7),
    (5, 5), ("0.5", 0.5), (1.25, 1.25), ("1h 20m", 4800), ("90min", 5400)])
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [
    ("512MB", 512_000_000), ("512MiB", 512 << 20), ("1GiB", 1 << 30), ("1Gb", 1 << 30), ("512m", 512 << 20), ("64KB", 64_000), (100, 100),
    ("100", 100), ("0.5KiB", 512)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(("text", "fraction"), [("1%", 0.01), ("0.01", 0.01), (0.01, 0.01), ("0.5 %", 0.005), ("100%", 1),
("0", 0), (1, 1)])
def test_losses(text: str, fraction: float) -> None:
    assert parse_loss(text) == fraction


@pytest.mark.parametrize(("parse", "text", "message"), [
    (parse_rate, "10", "bandwidth '10' lacks its unit: expected for example 10Mb, 10Kb or 10Gb"),
    (parse_rate, "10Mx", "unknown unit 'Mx' in bandwidth '10Mx'"),
    (parse_rate, "-3Mb", "bandwidth '-3Mb' is negative"),
    (parse_rate, "fast", "bandwidth 'fast' is not understood: expected for example 10Mb, 1.5Gbps or 512Kb"),
    (parse_rate, True, "bandwidth 'True' is not understood"),
    (parse_rate, "0.1b", "less than one bit per second"),
    (parse_rate, "1e99Mb", "out of range"),
    (parse_rate, "9" * 60 + "Mb", "out of range"),
    (parse_delay, 20, "delay '20' lacks its unit: expected for example 20ms or 20s"),
    (parse_delay, "20mss", "unknown unit 'mss' in delay '20mss'"),
    (parse_delay, "-1ms", "delay '-1ms' is negative"),
    (parse_delay, "nan", "not understood"),
    (parse_duration, "1h20", "'20' lacks its unit in time '1h20'"),
    (parse_size, "12XB", "unknown unit 'XB' in size '12XB'"),
    (parse_size, "0.3B", "not a whole number of bytes"),
    (parse_loss, "3", "loss '3' is more than everything: expected 0 to 1, or 0% to 100% (for percent write 3%)"),
    (parse_loss, "150%", "more than everything"),
    (parse_loss, "1ms", "unknown unit 'ms' in loss '1ms'"),
    (parse_loss, "-1%", "negative"),
])
def test_what_is_wrong_is_said_with_what_was_expected(parse, text: object, message: str) -> None:
    with pytest.raises(ValueError) as error:
        parse(text)
    assert message in str(error.value)


@given(st.integers(0, 10**13))
def test_rates_read_as_they_were_written(bps: int) -> None:
    assert parse_rate(format_rate(bps)) == bps


@given(st.floats(0, 1e7, allow_nan=False).filter(lambda s: s == 0 or s > 1e-15))
def test_durations_read_as_they_were_written(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
    assert parse_delay(format_duration(seconds)) == seconds


@given(st.integers(0, 1 << 50))
def test_sizes_read_as_they_were_written(size: int) -> None:
    assert parse_size(format_size(size)) == size


@given(st.floats(0, 1, allow_nan=False).filter(lambda p: p == 0 or p > 1e-15))
def test_losses_read_as_they_were_written(fraction: float) -> None:
    assert parse_loss(format_loss(fraction)) == fraction


@given(st.text(max_size=30))
def test_no_text_does_anything_but_parse_or_raise_valueerror(text: str) -> None:
    for parse in (parse_rate, parse_delay, parse_duration, parse_size, parse_loss):
        try:
            assert parse(text) >= 0
        except ValueError:
            continue


@pytest.mark.parametrize(("format", "value", "text"), [
    (format_rate, 1_500_000_000, "1.5Gb"), (format_rate, 10_000_000, "10Mb"), (format_rate, 512_000, "512Kb"), (format_rate, 7, "7b"),
    (format_duration, 0.0005, "500us"), (format_duration, 0.02, "20ms"), (format_duration, 90, "90s"), (format_size, 512 << 20, "512MiB"),
    (format_size, 64_000_000, "64MB"), (format_loss, 0.015, "1.5%")])
def test_quantities_are_written_as_people_do(format, value: float, text: str) -> None:
    assert format(value) == text
