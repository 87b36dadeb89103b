"""Pipes of links and LANs as rows: what was asked, what is so now, and what passed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from models.protocol.wires import ShownPipe
from swapbed.present import units
from swapbed.present.output import table
from swapbed.present.topology import shaping

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("link", "pipe", "shaped now", "in", "out", "dropped", "held", "late (p50, p99)", "rate when full")
TABLE_COLUMNS = tuple(f"#{name}" if name in ("in", "out", "dropped", "held") else name for name in COLUMNS)


def rows(pipes: Sequence[ShownPipe]) -> list[tuple[str, ...]]:
    return [(pipe.lan, _name(pipe), _now(pipe), *_counts(pipe), _late(pipe), units.rate(pipe.achieved_bps) if pipe.achieved_bps else "")
            for pipe in pipes]


def pipes_table(pipes: Sequence[ShownPipe]) -> Table:
    return table(None, TABLE_COLUMNS, rows(pipes), empty="there are no links")


def dropped(pipe: ShownPipe) -> int:
    tally = pipe.tally
    return tally.dropped_queue + tally.dropped_red + tally.dropped_loss + tally.dropped_down + pipe.missed_frames + pipe.refused_frames


def _name(pipe: ShownPipe) -> str:
    """Where it leads: an uplink from a node to the LAN, a downlink from the LAN to a node."""
    return f"{pipe.node} →" if pipe.direction == "uplink" else f"→ {pipe.node}"


def _now(pipe: ShownPipe) -> str:
    shape = shaping(pipe.shaping) or "unshaped"
    if not pipe.attached:
        return f"no device ({shape})"
    changed = " (changed)" if pipe.shaping != pipe.requested else ""
    return f"DOWN ({shape})" if not pipe.up else shape + changed


def _counts(pipe: ShownPipe) -> tuple[str, str, str, str]:
    return str(pipe.tally.in_frames), str(pipe.tally.out_frames), str(dropped(pipe)), str(pipe.held_frames)


def _late(pipe: ShownPipe) -> str:
    if pipe.late_p50_ns is None or pipe.late_p99_ns is None:
        return ""
    return f"{units.duration(pipe.late_p50_ns / 1e9)}, {units.duration(pipe.late_p99_ns / 1e9)}"
