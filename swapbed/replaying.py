"""The verb on records that makes a run of its own: replay."""

from __future__ import annotations

from models.database import writing
from models.errors import Conflict, NotFound
from models.instances import define_instance, define_run
from models.tables import Instance, Template
from models.templates import load_spec
from swapbed import server
from swapbed.launch import launch
from swapbed.lifecycle import pass_on, project
from swapbed.present.progress import Report, quiet
from swapbed.privilege import user
from swapbed.record_verbs import Known, find, of_run


def replay(record: str, *, name: str | None = None, report: Report = quiet) -> Known:
    """A new instance of the record's template, with its datastore, parameter values and seed, through one run; the record of that.

    The instance is gone when this returns. The environment is fresh, whatever the run before had found.
    """
    before = find(record)
    report("starting the local Prefect server", 0, 0)
    server.ensure()
    instance, run_id = _define(before, name)
    launch("replay", pass_on(report), instance_id=instance.id)
    return of_run(run_id)


def _define(before: Known, name: str | None) -> tuple[Instance, str]:
    mine = project()
    if before.row.root is None:
        raise Conflict(f"the record is {before.row.state}", where=before.row.id, next="It can be replayed once it is committed")
    with writing() as session:
        template = session.get_one(Template, before.run.template_id)
        if template.source is None:
            raise NotFound("the record's template was expunged", where=template.name)
        instance = define_instance(session, mine, template, load_spec(session, before.run.spec_id), created_by=user(), name=name,
                                   parameters=before.instance.parameters, seed=before.instance.seed, replay_of_id=before.row.id)
        run = define_run(session, instance, created_by=user(), parameters=before.run.parameters, origin="replay", inputs=before.run.inputs)
        return instance, run.id
