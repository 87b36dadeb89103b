"""What is shown of instances in lists: one model for JSON, table and notebook."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from models.spec import Spec
from swapbed.present import html, units
from swapbed.present.output import table
from swapbed.present.topology import summary

if TYPE_CHECKING:
    from rich.table import Table

    from swapbed.lifecycle import Known
    from swapbed.living.swapping import Handoff


class RunSummary(BaseModel):
    number: int
    state: str
    outcome: str | None
    reason: str | None
    parameters: dict[str, str]


class InstanceSummary(BaseModel):
    """times are UTC; template is `name@number`."""

    id: str
    name: str
    state: str
    reason: str | None
    template: str
    nodes: int
    networks: int
    created_at: datetime
    created_by: str
    run: RunSummary | None


def of(known: Known) -> InstanceSummary:
    row, template = known.row, known.template
    return InstanceSummary(
        id=row.id, name=row.name, state=row.state, reason=row.reason, template=f"{template.name}@{template.number}",
        nodes=len(known.spec.nodes), networks=len(known.spec.lans), created_at=row.created_at, created_by=row.created_by,
        run=RunSummary.model_validate(known.run, from_attributes=True) if known.run else None)


class HandoffShown(BaseModel):
    """idle: how long the host was without either, from the one's standing still until the other's going on."""

    left: InstanceSummary
    came: InstanceSummary
    idle_s: float


def handed_off(done: Handoff) -> HandoffShown:
    return HandoffShown(left=of(done.left), came=of(done.came), idle_s=done.idle_s)


def age(created_at: datetime) -> str:
    return units.duration(max(0, round((datetime.now(UTC) - created_at).total_seconds())))


def run_state(run: RunSummary | None) -> str:
    """`1 running`, `2 over (ok)`."""
    if run is None:
        return "none"
    return f"{run.number} {run.state}" + (f" ({run.outcome})" if run.outcome else "")


def rows(instances: Sequence[InstanceSummary]) -> list[tuple[str | int, ...]]:
    return [(i.name, i.state, i.template, i.nodes, i.networks, run_state(i.run), age(i.created_at), i.created_by) for i in instances]


COLUMNS = ("instance", "state", "template", "#nodes", "#networks", "run", "age", "by")


def instances_table(instances: Sequence[InstanceSummary]) -> Table:
    return table(None, COLUMNS, rows(instances), empty="there are none")


def instances_html(instances: Sequence[InstanceSummary]) -> str:
    return html.table([name.removeprefix("#") for name in COLUMNS], rows(instances), empty="no instances")


def sentence(instance: InstanceSummary, spec: Spec) -> str:
    """`dumbbell-1 (dumbbell@1) is up: 6 nodes, 5 links; run 1 running`."""
    why = f" ({instance.reason})" if instance.reason else ""
    return f"{instance.name} ({instance.template}) is {instance.state}{why}: {summary(spec)}; run {run_state(instance.run)}"


def sentences_of(handoff: HandoffShown, spec: Spec) -> tuple[str, str]:
    """What became of both, and what it cost their host."""
    left = handoff.left
    return sentence(handoff.came, spec), (f"{left.name} is {left.state.replace('_', ' ')}; their host was without either for "
                                          f"{units.duration(handoff.idle_s)}")
