"""Defining the instance and run that live through a record again."""

from __future__ import annotations

from sqlmodel import Session

from models.errors import Conflict, NotFound
from models.instances import define_instance, define_run
from models.tables import Instance, Project, Record, Run, Template
from models.templates import load_spec


def define_replay(session: Session, record: Record, *, created_by: str, name: str | None = None,
                  origin: str = "replay") -> tuple[Instance, Run]:
    """With the record's template, datastore, parameter values and seed. Raises Conflict or NotFound where it cannot be replayed."""
    if record.expunged_at is not None:
        raise NotFound("the record was expunged", where=record.id)
    if record.root is None:
        raise Conflict(f"the record is {record.state}", where=record.id, next="It can be replayed once it is committed")
    before = session.get_one(Run, record.run_id)
    template = session.get_one(Template, before.template_id)
    if template.source is None:
        raise NotFound("the record's template was expunged", where=template.name)
    old = session.get_one(Instance, before.instance_id)
    instance = define_instance(session, session.get_one(Project, record.project_id), template, load_spec(session, before.spec_id),
                               created_by=created_by, name=name, parameters=old.parameters, seed=old.seed, replay_of_id=record.id)
    run = define_run(session, instance, created_by=created_by, parameters=before.parameters, origin=origin, inputs=before.inputs)
    return instance, run
