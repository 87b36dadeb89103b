"""Numbers as people write them: `20 ms`, `10 Mbit/s`, `64 KiB`. What they write is read by `languages`."""

from __future__ import annotations

RATES = ((10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s"))
SIZES = ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))
DURATIONS = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))


def _digits(value: float) -> str:
    """Three significant digits, no exponent, no trailing zeros: 12.5, 150, 0.05."""
    text = f"{value:.3g}"
    return f"{value:.0f}" if "e" in text else text


def rate(bits_per_second: float, *, zero: str = "0") -> str:
    """zero: what 0 means here; in a spec it is `unlimited`."""
    if not bits_per_second:
        return zero
    for factor, unit in RATES:
        if bits_per_second >= factor:
            return f"{_digits(bits_per_second / factor)} {unit}"
    return f"{_digits(bits_per_second)} bit/s"


def size(count_bytes: float) -> str:
    for factor, unit in SIZES:
        if abs(count_bytes) >= factor:
            return f"{_digits(count_bytes / factor)} {unit}"
    return f"{count_bytes:.0f} B"


def duration(seconds: float) -> str:
    """From 90 s on as minutes or hours and seconds: `3 min 5 s`, `2 h 1 min`."""
    if abs(seconds) >= 3600:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    if abs(seconds) >= 90:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    for factor, unit in DURATIONS:
        if abs(seconds) >= factor:
            return f"{_digits(seconds / factor)} {unit}"
    return "0" if not seconds else f"{_digits(seconds * 1e6)} µs"


def share(fraction: float) -> str:
    return f"{_digits(fraction * 100)} %"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """`1 node`, `3 nodes`, `2 classes` where plural says so."""
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
