"""Quantities as people write them, and back: `10Mb`, `1h20m3s`, `512MiB`, `1%`.

Parsing goes through decimal arithmetic, so that `20ms` is exactly the float 0.02 and 0.1 Mb exactly 100000 bits.
`format_*` writes the shortest form that parses back to the same value. Errors are ValueErrors that say what was expected.

Rates are decimal (1 Mb/s is 10**6 bits per second); a capital B counts bytes, as in ns-2 and tc. Sizes: KB, MB, GB are decimal,
KiB, MiB, GiB binary, and the bare or lower-case k, m, g, kb, mb, gb binary as Docker's --memory takes them.
"""

from __future__ import annotations

import re
from decimal import Decimal

_NUMBER = r"(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
_QUANTITY = re.compile(_NUMBER + r"\s*(?P<unit>[^\d\s].*)?")
_STEP = re.compile(_NUMBER + r"(?P<unit>[a-zA-Zµμ]+)\s*")
_DIGITS_LIMIT = 40  # longer numbers are a mistake or an attack on the decimal arithmetic
_EXPONENT_LIMIT = 30

_PREFIXES = {"": 1, "k": 10**3, "K": 10**3, "m": 10**6, "M": 10**6, "g": 10**9, "G": 10**9, "t": 10**12, "T": 10**12}
_BITS = ("b", "bit", "bits", "bps", "bit/s", "b/s", "bits/s")
_BYTES = ("B", "Bps", "B/s", "byte", "bytes")
RATE_UNITS = {prefix + name: Decimal(factor * size) for prefix, factor in _PREFIXES.items()
              for names, size in ((_BITS, 1), (_BYTES, 8)) for name in names}

DURATION_UNITS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "µs": Decimal("1e-6"), "μs": Decimal("1e-6"), "usec": Decimal("1e-6"),
                  "ms": Decimal("1e-3"), "msec": Decimal("1e-3"), "s": Decimal(1), "sec": Decimal(1),
                  "m": Decimal(60), "min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}

SIZE_UNITS = {"": 1, "B": 1, "b": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "kB": 10**3,
              **{letter + end: 1 << (10 * (power + 1)) for power, letters in enumerate(("kK", "mM", "gG", "tT"))
                 for letter in letters for end in ("", "b", "iB", "ib", "i")}}
SIZE_UNITS.update({letter + "b": 1 << (10 * (power + 1)) for power, letter in enumerate("kmgt")})


def parse_rate(value: str | int | float) -> int:
    """Bits per second; 0 means unlimited and is the only number that needs no unit."""
    number, unit = _split(value, "bandwidth", "10Mb, 1.5Gbps or 512Kb")
    if not unit:
        if number == 0:
            return 0
        raise ValueError(f"bandwidth '{value}' lacks its unit: expected for example {value}Mb, {value}Kb or {value}Gb")
    if unit not in RATE_UNITS:
        raise ValueError(f"unknown unit '{unit}' in bandwidth '{value}': expected for example 10Mb, 1.5Gbps or 512Kb")
    bits = number * RATE_UNITS[unit]
    if bits != 0 and bits < 1:
        raise ValueError(f"bandwidth '{value}' is less than one bit per second")
    return int(bits)


def parse_delay(value: str | int | float) -> float:
    """Seconds of a link's delay or jitter; a number without unit is refused (ns means milliseconds, others seconds)."""
    return _duration(value, "delay", bare=False)


def parse_duration(value: str | int | float, what: str = "time") -> float:
    """Seconds; a bare number is seconds."""
    return _duration(value, what, bare=True)


def parse_size(value: str | int | float, what: str = "size") -> int:
    """Bytes; a bare number is bytes."""
    number, unit = _split(value, what, "512MiB, 1GB or 65536")
    if unit not in SIZE_UNITS:
        raise ValueError(f"unknown unit '{unit}' in {what} '{value}': expected for example 512MiB, 1GB or 65536")
    size = number * SIZE_UNITS[unit]
    if size != int(size):
        raise ValueError(f"{what} '{value}' is not a whole number of bytes")
    return int(size)


def parse_loss(value: str | int | float) -> float:
    """The fraction of frames lost: 0.01 and 1% are the same."""
    number, unit = _split(value, "loss", "1% or 0.01")
    if unit not in ("", "%"):
        raise ValueError(f"unknown unit '{unit}' in loss '{value}': expected for example 1% or 0.01")
    fraction = number / 100 if unit == "%" else number
    if fraction > 1:
        hint = "" if unit else f" (for percent write {value}%)"
        raise ValueError(f"loss '{value}' is more than everything: expected 0 to 1, or 0% to 100%{hint}")
    return float(fraction)


def format_rate(bps: int) -> str:
    for prefix, factor in (("G", 10**9), ("M", 10**6), ("K", 10**3)):
        if bps and bps % (factor // 1000 if factor > 1000 else factor) == 0 and bps >= factor:
            return f"{_plain(Decimal(bps) / factor)}{prefix}b"
    return f"{bps}b" if bps else "0"


def format_duration(seconds: float) -> str:
    """In the largest of s, ms, us that needs no leading zeros: 0.0005 is `500us`."""
    exact = Decimal(repr(seconds))
    if not exact:
        return "0s"
    for unit, factor in (("s", 1), ("ms", 1000), ("us", 10**6)):
        if exact * factor >= 1:
            return _plain(exact * factor) + unit
    return _plain(exact * 10**9) + "ns"


def format_size(size: int) -> str:
    """In the largest unit, binary or decimal, that divides it with the fewest digits."""
    units = (("GiB", 1 << 30), ("GB", 10**9), ("MiB", 1 << 20), ("MB", 10**6), ("KiB", 1 << 10))
    whole = [f"{size // factor}{unit}" for unit, factor in units if size and size % factor == 0]
    return min(whole, key=len, default=str(size))


def format_loss(fraction: float) -> str:
    return _plain(Decimal(repr(fraction)) * 100) + "%"


def _plain(number: Decimal) -> str:
    text = format(number.normalize(), "f")
    return text or "0"


def _duration(value: str | int | float, what: str, bare: bool) -> float:
    expected = "20ms, 2s, 100us or 1h20m3s"
    number, unit = _split(value, what, expected)
    if not unit:
        if bare or number == 0:
            return float(number)
        raise ValueError(f"{what} '{value}' lacks its unit: expected for example {value}ms or {value}s")
    total, at, text = Decimal(0), 0, str(value).strip()
    while at < len(text):
        step = _STEP.match(text, at)
        if not step or step["unit"] not in DURATION_UNITS:
            problem = f"unknown unit '{step['unit']}'" if step else f"'{text[at:]}' lacks its unit"
            raise ValueError(f"{problem} in {what} '{value}': expected for example {expected}")
        total += _decimal(step["number"], what, value) * DURATION_UNITS[step["unit"]]
        at = step.end()
    return float(total)


def _split(value: str | int | float, what: str, expected: str) -> tuple[Decimal, str]:
    text = repr(value) if isinstance(value, float) else str(value).strip()
    match = None if isinstance(value, bool) else _QUANTITY.fullmatch(text)
    if not match:
        if re.fullmatch(r"-\s*[\d.]+.*", text):
            raise ValueError(f"{what} '{text}' is negative: expected for example {expected}")
        raise ValueError(f"{what} '{text[:60]}' is not understood: expected for example {expected}")
    return _decimal(match["number"], what, text), (match["unit"] or "").strip()


def _decimal(number: str, what: str, value: object) -> Decimal:
    result = Decimal(number) if len(number) <= _DIGITS_LIMIT else Decimal("Infinity")
    if not result.is_finite() or abs(result.adjusted()) > _EXPONENT_LIMIT:
        raise ValueError(f"{what} '{str(value)[:60]}' is out of range")
    return result
