"""The verbs that have an instance leave its hosts and come back, and the list of its checkpoints."""

from __future__ import annotations

from models.checkpoints import checkpoints_of
from models.database import reading
from models.tables import Checkpoint
from swapbed.launch import launch
from swapbed.lifecycle import Known, find, pass_on
from swapbed.present.progress import Report, quiet


def swapout(name: str, *, report: Report = quiet) -> Known:
    """Returns when the instance is a durable checkpoint and nothing of it is on any host."""
    launch("swapout", pass_on(report), instance_id=find(name).row.id)
    return find(name)


def swapin(name: str, *, report: Report = quiet) -> Known:
    """Returns when the instance goes on."""
    launch("swapin", pass_on(report), instance_id=find(name).row.id)
    return find(name)


def checkpoints(name: str) -> list[Checkpoint]:
    """Of an instance, oldest first."""
    known = find(name)
    with reading() as session:
        return checkpoints_of(session, known.row.id)
