"""`inspect` for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.protocol.conductor import RunInfo
from swapbed.living.inspection import Inspected, InspectedNode
from swapbed.present import pipes, units
from swapbed.present.output import table

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS_LIMIT = 40


def tables(one: Inspected) -> list[RenderableType]:
    parts: list[RenderableType] = [table("Nodes", ("node", "state", "host", "interfaces", "#processes", "#memory"),
                                         [_node_row(node) for node in one.nodes], limit=ROWS_LIMIT)]
    if one.pipes:
        shown = table("Links and LANs", pipes.TABLE_COLUMNS, pipes.rows(one.pipes), limit=2 * ROWS_LIMIT)
        parts.append(shown)
    if one.parameters:
        parts.append("parameters: " + " ".join(f"{name}={value}" for name, value in one.parameters.items()))
    if one.varied:
        parts.append(f"{f'varied by sweep {one.sweep}' if one.sweep else 'not the same in all its runs'}: {', '.join(one.varied)}")
    if one.run is not None:
        parts.append(_run(one.run))
    parts += [f"connections of {node.name} to the outside, which no checkpoint keeps: {', '.join(node.status.outside)}"
              for node in one.nodes if node.status.outside]
    parts += [f"problem: {problem}" for problem in one.problems]
    return parts


def _node_row(node: InspectedNode) -> tuple[str | int, ...]:
    status = node.status
    state = "dead" if not status.alive else "frozen" if status.frozen else "alive"
    interfaces = "\n".join(f"{name} {', '.join(addresses)}" for name, addresses in node.addresses.items())
    memory = units.size(status.memory_bytes) if status.memory_bytes is not None else ""
    return node.name, state, node.host, interfaces, status.processes, memory


def _run(run: RunInfo) -> str:
    """`run 1 is running: flow1, flow2 run; 3 events to come`."""
    parts = [f"{', '.join(run.running[:8])}{' …' if len(run.running) > 8 else ''} running"] if run.running else []
    if run.pending:
        parts.append(f"{units.count(run.pending, 'event')} to come")
    if run.failed:
        first = run.failures[0]
        parts.append(f"{units.count(run.failed, 'failure')}, the first: {first.target} {first.verb}: {first.outcome.error}")
    return f"run {run.number} is {run.phase}{': ' + '; '.join(parts) if parts else ''}"
