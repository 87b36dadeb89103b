"""The rows of checkpoints: defined before anything is captured, found by id, listed along an instance's life."""

from __future__ import annotations

from sqlmodel import Session, col, select

from models.errors import Conflict, NotFound
from models.instances import current_run
from models.states import CheckpointState
from models.tables import Checkpoint, Instance


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


def latest_checkpoint(session: Session, instance: Instance) -> Checkpoint:
    """The durable one that the instance goes on from. Raises Conflict if there is none."""
    found = session.get(Checkpoint, instance.checkpoint_id) if instance.checkpoint_id else None
    if found is None or found.state is not CheckpointState.DURABLE:
        raise Conflict("the instance has no durable checkpoint", where=instance.name)
    return found


def checkpoints_of(session: Session, instance_id: str) -> list[Checkpoint]:
    """Oldest first, failed ones too."""
    return list(session.exec(select(Checkpoint).where(Checkpoint.instance_id == instance_id).order_by(col(Checkpoint.epoch))))
