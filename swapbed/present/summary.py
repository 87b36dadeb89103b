"""What came of a run, in tables: what each agent did, and what the links did of what was asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from swapbed.living.measurement import Measured
from swapbed.living.results import Invocation
from swapbed.present import units
from swapbed.present.activity import ending
from swapbed.present.output import table

if TYPE_CHECKING:
    from rich.table import Table

ROWS_LIMIT = 40
UNITS = (("_bps", units.rate, 1.0), ("_s", units.duration, 1.0), ("_ms", units.duration, 1e-3), ("_bytes", units.size, 1.0))


def agents_table(invocations: Sequence[Invocation]) -> Table:
    rows = [(one.agent, one.node, f"{ending(one.detail)}{f': {one.error}' if one.error else ''}", units.duration(round(one.lasted_s, 3)),
             _cpu(one), _memory(one), ", ".join(result(name, value) for name, value in one.results.items())) for one in invocations]
    return table("What each agent did", ("agent", "node", "ended with", "#lasted", "#cpu", "#memory", "reported"), rows, limit=ROWS_LIMIT)


def measured_table(measured: Sequence[Measured]) -> Table:
    rows = [(one.lan, f"{one.source} → {one.target}", units.duration(one.asked_round_trip_s), _trip(one),
             units.rate(one.asked_bps or 0, zero="unlimited"), units.rate(one.achieved_bps) if one.achieved_bps else "",
             _error(one), units.duration(one.late_p99_ns / 1e9) if one.late_p99_ns is not None else "") for one in measured]
    return table("What was asked of links, and what they do", ("link", "from, to", "#asked there and back", "#measured", "#asked rate",
                                                               "#measured", "#off by", "#frames late (p99)"), rows, limit=ROWS_LIMIT)


def result(name: str, value: str) -> str:
    """`throughput_bps 9500000` as `throughput 9.5 Mbit/s`: units are in names."""
    try:
        number = float(value)
    except ValueError:
        return f"{name} {value}"
    for suffix, form, factor in UNITS:
        if name.endswith(suffix):
            return f"{name.removesuffix(suffix)} {form(number * factor)}"
    return f"{name} {value}"


def _trip(one: Measured) -> str:
    if one.mean_round_trip_s is None:
        return "no answer"
    return units.duration(one.mean_round_trip_s) + (f", {one.lost} lost" if one.lost else "")


def _error(one: Measured) -> str:
    if not one.asked_bps or not one.achieved_bps:
        return ""
    return units.share(abs(one.achieved_bps / one.asked_bps - 1))


def _cpu(one: Invocation) -> str:
    return units.duration(one.detail["user_s"] + one.detail["system_s"]) if "user_s" in one.detail else ""


def _memory(one: Invocation) -> str:
    return units.size(one.detail["max_rss_kib"] * 1024) if one.detail.get("max_rss_kib") else ""
