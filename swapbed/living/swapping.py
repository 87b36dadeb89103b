"""The verbs that have an instance leave its hosts and come back."""

from __future__ import annotations

from dataclasses import dataclass

from swapbed.lifecycle import Known, find, host_named, pass_on
from swapbed.living.checkpoint_verbs import find_checkpoint
from swapbed.present.progress import Report, quiet
from swapbed.serving.launch import launch


def swapout(name: str, *, report: Report = quiet) -> Known:
    """Returns when the instance is a durable checkpoint and nothing of it is on any host."""
    launch("swapout", pass_on(report), instance_id=find(name).row.id)
    return find(name)


def swapin(name: str, *, checkpoint: str | None = None, host: str | None = None, report: Report = quiet) -> Known:
    """Returns when the instance goes on. checkpoint: an earlier one of its own to go on from; default: as it was swapped out.

    host: where; default: on the host that it left, or another if that is gone, drained, full or unsuited.
    """
    ids = {"instance_id": find(name).row.id}
    if checkpoint is not None:
        ids["checkpoint_id"] = find_checkpoint(checkpoint).row.id
    if host is not None:
        ids["host_id"] = host_named(host)
    launch("swapin", pass_on(report), **ids)
    return find(name)


@dataclass(frozen=True)
class Handoff:
    """idle_s: from the instant at which the one that left stood still until the other went on."""

    left: Known
    came: Known
    idle_s: float


def handoff(leaving: str, coming: str, *, report: Report = quiet) -> Handoff:
    """Returns when the first is a durable checkpoint, and the second goes on in its place on its host."""
    ids = {"instance_id": find(leaving).row.id, "successor_id": find(coming).row.id}
    done = launch("handoff", pass_on(report), **ids)
    return Handoff(find(ids["instance_id"]), find(ids["successor_id"]), float(done["idle_s"] or 0))
