"""Bandwidths, delays, times, losses, addresses and truth values as an ns program spells them, in Emulab's own units.

Emulab works in whole kbit/s and whole milliseconds and cuts off what is finer; `Whole.cut` says so, for a warning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from languages.ns.refusal import Refused

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S*)\s*")
_SECONDS = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_CLOCK = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")

RATES_KBPS = {
    unit: Decimal(factor)
    for factor, units in (("0.001", "b bps"), ("1", "k kb kbps K Kb Kbps"), ("1e3", "M Mb Mbps"), ("1e6", "G Gb Gbps"))
    for unit in units.split()
}
DELAYS_MS = {"s": Decimal(1000), "ms": Decimal(1), "ns": Decimal("1e-6")}
LEAST_LINK_KBPS = 10
LEAST_LOSS = 0.000005
TIME_LIMIT_S = 10 ** 9


@dataclass(frozen=True)
class Whole:
    """A number in Emulab's unit; cut: what was written had a finer part."""

    value: int
    cut: bool = False


def rate_kbps(text: str, of_link: bool = True) -> Whole:
    """`10Mb`; without a unit, bit/s. `*` and `~` (Emulab chooses, best effort) are 0: unlimited. Links need 10 kbit/s at least."""
    if text.strip() in ("*", "~"):
        return Whole(0)
    number, unit = _split(text, "bandwidth", "10Mb, 1.5Gb or 512Kb")
    if unit and unit not in RATES_KBPS:
        raise Refused(f"unknown unit '{unit}' in bandwidth '{text}': expected one of {', '.join(RATES_KBPS)}")
    exact = number * RATES_KBPS[unit or "b"]
    whole = int(exact)
    if whole < (LEAST_LINK_KBPS if of_link else 0):
        raise Refused(f"bandwidth '{text}' is too low: a link carries at least {LEAST_LINK_KBPS} kbit/s" if of_link
                      else f"bandwidth '{text}' is negative")
    if whole > 10 ** 12:
        raise Refused(f"bandwidth '{text}' is out of range")
    return Whole(whole, whole != exact)


def delay_ms(text: str) -> Whole:
    """`20ms`; without a unit, seconds."""
    exact = _delay(text, "s")
    if 0 < exact < 1:
        raise Refused(f"delay '{text}' is less than a millisecond, and Emulab's delays are whole milliseconds: expected 0 or at least 1ms")
    return Whole(int(exact), int(exact) != exact)


def event_delay_s(text: str) -> float:
    """Of `$link delay`; without a unit, milliseconds, which is what Emulab's delay agent takes a bare number for."""
    return float(_delay(text, "ms") / 1000)


def seconds(text: str) -> float:
    """`2.5`, or `1h20m3s` of whole hours, minutes and seconds."""
    stripped = text.strip()
    if _SECONDS.fullmatch(stripped):
        value = float(stripped)
    elif stripped and (match := _CLOCK.fullmatch(stripped)):
        hours, minutes, rest = (int(part or 0) for part in match.groups())
        value = float(hours * 3600 + minutes * 60 + rest)
    elif stripped.startswith("-"):
        raise Refused(f"time '{text}' is negative")
    else:
        raise Refused(f"time '{text[:60]}' is not understood: expected seconds, as in 2.5, or hours, minutes and seconds, as in 1h20m3s")
    if value > TIME_LIMIT_S:
        raise Refused(f"time '{text[:60]}' is out of range")
    return value


def loss(text: str) -> float:
    """A fraction: 0, or from 0.000005 (the least Emulab knows) to 1."""
    value = fraction(text, "loss")
    if 0 < value < LEAST_LOSS:
        raise Refused(f"loss '{text}' is less than {LEAST_LOSS:f}, the least that Emulab knows")
    return value


def fraction(text: str, what: str) -> float:
    value = number(text, what)
    if not 0 <= value <= 1:
        raise Refused(f"{what} '{text}' is not a fraction: expected 0 to 1")
    return value


def number(text: str, what: str) -> float:
    if not (match := _NUMBER.fullmatch(text)) or match[2]:
        raise Refused(f"{what} '{text[:60]}' is not a number")
    return float(_decimal(match[1], what))


def positive(text: str, what: str) -> float:
    value = number(text, what)
    if value <= 0:
        raise Refused(f"{what} '{text}' is not more than 0")
    return value


def integer(text: str, what: str, least: int, most: int) -> int:
    value = number(text, what)
    if value != int(value) or not least <= value <= most:
        raise Refused(f"{what} '{text}' is not a whole number from {least} to {most}")
    return int(value)


def boolean(text: str, what: str) -> bool:
    """As Tcl takes it."""
    lower = text.strip().lower()
    if lower in ("1", "true", "yes", "on"):
        return True
    if lower in ("0", "false", "no", "off"):
        return False
    raise Refused(f"{what} '{text[:60]}' is not a truth value: expected 0 or 1")


def address(text: str) -> str:
    """An IPv4 address, without prefix length."""
    parts = text.strip().split(".")
    if len(parts) != 4 or not all(p.isascii() and p.isdigit() and len(p) <= 3 and int(p) <= 255 for p in parts):
        raise Refused(f"'{text[:60]}' is not an IP address: expected four numbers from 0 to 255, as in 10.1.1.2")
    return ".".join(str(int(p)) for p in parts)


def mask(text: str) -> str:
    """An IPv4 mask within Emulab's bounds: at most 16 bits for hosts."""
    try:
        value = integer_of(address(text))
    except Refused:
        value = 0
    if not value or "01" in f"{value:032b}":
        raise Refused(f"'{text[:60]}' is not a network mask: expected for example 255.255.255.0")
    if value < 0xFFFF0000 or value > 0xFFFFFFFC:
        raise Refused(f"network mask {text} is out of range: expected 255.255.0.0 to 255.255.255.252")
    return dotted(value)


def integer_of(dotted_text: str) -> int:
    a, b, c, d = (int(part) for part in dotted_text.split("."))
    return a << 24 | b << 16 | c << 8 | d


def dotted(value: int) -> str:
    return ".".join(str(value >> shift & 255) for shift in (24, 16, 8, 0))


def _delay(text: str, bare_unit: str) -> Decimal:
    number, unit = _split(text, "delay", "20ms or 1.5s")
    if unit and unit not in DELAYS_MS:
        raise Refused(f"unknown unit '{unit}' in delay '{text}': expected one of {', '.join(DELAYS_MS)}")
    exact = number * DELAYS_MS[unit or bare_unit]
    if exact < 0:
        raise Refused(f"delay '{text}' is negative")
    if exact > TIME_LIMIT_S:
        raise Refused(f"delay '{text}' is out of range")
    return exact


def _split(text: str, what: str, example: str) -> tuple[Decimal, str]:
    if not (match := _NUMBER.fullmatch(text)):
        raise Refused(f"{what} '{text[:60]}' is not understood: expected for example {example}")
    return _decimal(match[1], what), match[2]


def _decimal(digits: str, what: str) -> Decimal:
    try:
        value = Decimal(digits) if len(digits) <= 40 else Decimal("Infinity")
    except InvalidOperation:
        value = Decimal("Infinity")
    if not value.is_finite() or abs(value.adjusted()) > 30:
        raise Refused(f"{what} '{digits[:60]}' is out of range")
    return value
