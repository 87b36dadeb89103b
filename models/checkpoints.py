"""The rows of checkpoints: defined before anything is captured, found by id, listed along an instance's life."""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from sqlmodel import Session, col, select

from models.errors import Conflict, InvalidInput, NotFound
from models.instances import current_run, define_instance, last_run
from models.states import CheckpointState
from models.tables import Checkpoint, Instance, Project, Run, Template
from models.templates import load_spec


def define_checkpoint(session: Session, instance: Instance, *, created_by: str, purpose: str) -> Checkpoint:
    """purpose: checkpoint or swapout. Its epoch is the instance's next, which nothing else gets, whatever becomes of it."""
    run = current_run(session, instance.id)
    instance.epoch += 1
    made = Checkpoint(project_id=instance.project_id, instance_id=instance.id, run_id=run.id if run else None,
                      parent_id=instance.checkpoint_id, spec_id=instance.spec_id, purpose=purpose, incarnation=instance.incarnation,
                      epoch=instance.epoch, created_by=created_by)
    session.add(made)
    session.flush()
    return made


def checkpoint_by_id(session: Session, checkpoint_id: str) -> Checkpoint:
    found = session.get(Checkpoint, checkpoint_id)
    if found is None:
        raise NotFound("no such checkpoint", where=checkpoint_id)
    return found


def define_fork(session: Session, checkpoint: Checkpoint, *, created_by: str, name: str | None = None,
                parameters: Mapping[str, str] | None = None) -> Instance:
    """The row of a new instance that will begin its life as that checkpoint. parameters: instead of those of its source's run.

    Raises Conflict for a checkpoint that is not durable, or a name that is taken.
    """
    if checkpoint.state is not CheckpointState.DURABLE or checkpoint.root is None:
        raise Conflict(f"the checkpoint is {'gone' if checkpoint.state is CheckpointState.DURABLE else checkpoint.state}",
                       where=checkpoint.id, next="`swapbed checkpoint ls INSTANCE` lists those that are durable")
    spec = load_spec(session, checkpoint.spec_id)
    names = sorted(parameter.name for parameter in spec.parameters)
    if unknown := set(parameters or {}) - set(names):
        raise InvalidInput(f"the template has no parameter '{min(unknown)}'", where=checkpoint.id,
                           next=f"It has: {', '.join(names)}" if names else "It has none")
    source = session.get_one(Instance, checkpoint.instance_id)
    before = last_run(session, source, checkpoint.virtual_ns)
    values = source.parameters | (before.parameters if before else {}) | dict(parameters or {})
    project, template = session.get_one(Project, checkpoint.project_id), session.get_one(Template, source.template_id)
    made = define_instance(session, project, template, spec, created_by=created_by, name=name,
                           parameters=values, seed=source.seed, start_run=False, forked_from_id=checkpoint.id)
    made.checkpoint_id, made.virtual_ns = checkpoint.id, checkpoint.virtual_ns or 0
    return made


def go_back(session: Session, instance: Instance, checkpoint: Checkpoint) -> None:
    """The instance lives on from that checkpoint. If it is not the one it made last, that is another life."""
    if instance.checkpoint_id != checkpoint.id:
        instance.incarnation = secrets.token_hex(8)
    instance.checkpoint_id, instance.spec_id, instance.virtual_ns = checkpoint.id, checkpoint.spec_id, checkpoint.virtual_ns or 0


def check_way_back(session: Session, instance: Instance, checkpoint: Checkpoint) -> None:
    """Raise Conflict if the instance cannot live on from there: a run that is over has its record, and cannot go on; one that goes on
    must be there already."""
    if checkpoint.state is not CheckpointState.DURABLE or checkpoint.root is None:
        raise Conflict(f"the checkpoint is {checkpoint.state}", where=checkpoint.id)
    if checkpoint.instance_id != instance.id and checkpoint.id != instance.forked_from_id:
        raise Conflict("this is another instance's checkpoint", where=checkpoint.id, next=f"Fork it: `swapbed fork {checkpoint.id}`")
    run = current_run(session, instance.id)
    if checkpoint.instance_id == instance.id and checkpoint.run_id != (run.id if run else None):
        then = session.get(Run, checkpoint.run_id) if checkpoint.run_id else None
        raise Conflict(f"run {then.number} went on at that checkpoint, and is over" if then and then is not run else
                       f"run {run.number if run else 0} had not begun at that checkpoint", where=checkpoint.id,
                       next=f"Fork it: `swapbed fork {checkpoint.id}`")


def latest_checkpoint(session: Session, instance: Instance) -> Checkpoint:
    """The durable one that the instance goes on from. Raises Conflict if there is none."""
    found = session.get(Checkpoint, instance.checkpoint_id) if instance.checkpoint_id else None
    if found is None or found.state is not CheckpointState.DURABLE:
        raise Conflict("the instance has no durable checkpoint", where=instance.name)
    return found


def checkpoints_of(session: Session, instance_id: str) -> list[Checkpoint]:
    """Oldest first, failed ones too."""
    return list(session.exec(select(Checkpoint).where(Checkpoint.instance_id == instance_id).order_by(col(Checkpoint.epoch))))
