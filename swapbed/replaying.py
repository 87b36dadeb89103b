"""The verb on records that makes a run of its own: replay."""

from __future__ import annotations

from models.database import writing
from models.replays import define_replay
from swapbed.lifecycle import pass_on
from swapbed.present.progress import Report, quiet
from swapbed.privilege import user
from swapbed.record_verbs import Known, find, of_run
from swapbed.serving import server
from swapbed.serving.launch import launch


def replay(record: str, *, name: str | None = None, report: Report = quiet) -> Known:
    """A new instance of the record's template, with its datastore, parameter values and seed, through one run; the record of that.

    The instance is gone when this returns. The environment is fresh, whatever the run before had found.
    """
    before = find(record)
    report("starting the local Prefect server", 0, 0)
    server.ensure()
    with writing() as session:
        instance, run = define_replay(session, before.row, created_by=user(), name=name)
    launch("replay", pass_on(report), instance_id=instance.id)
    return of_run(run.id)
