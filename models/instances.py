"""The rows of instances and of their runs, before and after anything is made of them."""

from __future__ import annotations

import difflib
import secrets
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from models.errors import Conflict, InvalidInput, NotFound
from models.names import LABEL
from models.spec import Spec
from models.states import InstanceState, RunState
from models.tables import Checkpoint, Instance, Placement, Project, Run, Template
from models.templates import load_spec, store_spec

GOING_ON = (RunState.DEFINED, RunState.STARTING, RunState.RUNNING, RunState.STOPPING)


def define_instance(session: Session, project: Project, template: Template, spec: Spec, *, created_by: str, name: str | None = None,
                    parameters: Mapping[str, str] | None = None, seed: int | None = None, start_run: bool = True,
                    datastore_directory: Path | None = None, replay_of_id: str | None = None,
                    forked_from_id: str | None = None, home_id: str | None = None) -> Instance:
    """The row; nothing on any host. name: a DNS label, free among the project's living instances; None: the template's with a number.
    home_id: a host that it must be on; None: whichever has room.

    Raises InvalidInput or Conflict, and then nothing has been written.
    """
    chosen = name or free_name(session, project, template.name)
    if not LABEL.fullmatch(chosen):
        raise InvalidInput(f"instance name '{chosen}' is not a DNS label (letters, digits, '-', at most 63, no '-' at the ends)")
    instance = Instance(project_id=project.id, template_id=template.id, spec_id=store_spec(session, project.id, spec).id, name=chosen,
                        parameters=dict(parameters or {}), seed=secrets.randbits(63) if seed is None else seed, start_run=start_run,
                        datastore_directory=str(datastore_directory) if datastore_directory else None,
                        incarnation=secrets.token_hex(8), replay_of_id=replay_of_id, forked_from_id=forked_from_id, home_id=home_id,
                        created_by=created_by)
    try:
        with session.begin_nested():
            session.add(instance)
    except IntegrityError:
        raise Conflict(f"an instance named '{chosen}' exists", where=chosen,
                       next=f"Destroy it (`swapbed destroy {chosen}`) or choose another name") from None
    return instance


def free_name(session: Session, project: Project, base: str) -> str:
    """`base-1`, `base-2`, …: the first that no living instance has."""
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in base.lower()).strip("-")[:50].strip("-") or "instance"
    taken = {instance.name for instance in living(session, project)}
    return next(name for number in range(1, len(taken) + 2) if (name := f"{label}-{number}") not in taken)


def living(session: Session, project: Project) -> list[Instance]:
    alive = select(Instance).where(Instance.project_id == project.id, col(Instance.ended_at).is_(None))
    return list(session.exec(alive.order_by(Instance.name)))


def find_instance(session: Session, project: Project, text: str) -> Instance:
    """A living one by name, or any by id. Raises NotFound, with the nearest name."""
    mine = select(Instance).where(Instance.project_id == project.id)
    found = session.exec(mine.where(Instance.name == text, col(Instance.ended_at).is_(None))).first()
    if found is None:
        found = session.exec(mine.where(Instance.id == text)).first()
    if found is None:
        if session.exec(mine.where(Instance.name == text)).first() is not None:
            raise NotFound("the instance of that name has ended", where=text,
                           next=f"`swapbed run ls {text}` lists its runs, `swapbed record ls {text}` what they left")
        names = [instance.name for instance in living(session, project)]
        near = difflib.get_close_matches(text, names, 1)
        raise NotFound("no living instance of that name", where=text,
                       next=f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}" if names else "There are none")
    return found


def instance_by_id(session: Session, instance_id: str) -> Instance:
    instance = session.get(Instance, instance_id)
    if instance is None:
        raise NotFound("no such instance", where=instance_id)
    return instance


def placements(session: Session, instance_id: str) -> list[Placement]:
    return list(session.exec(select(Placement).where(Placement.instance_id == instance_id).order_by(Placement.node)))


def define_run(session: Session, instance: Instance, *, created_by: str, parameters: Mapping[str, str] | None = None, origin: str = "user",
               environment_of_run: str | None = None, inputs: list[dict[str, str]] | None = None) -> Run:
    """The row of the instance's next run. Parameters that are not given are as `present_values` has them.

    environment_of_run: inherit or fresh; None: as the template says. Raises Conflict while another run is going on, and InvalidInput.
    """
    session.exec(select(Instance.id).where(Instance.id == instance.id).with_for_update()).one()
    if (other := current_run(session, instance.id)) is not None:
        raise Conflict(f"run {other.number} is {other.state}", where=instance.name,
                       next="Runs are serial: stop it first (`swapbed run stop`)")
    if instance.state not in (InstanceState.DEFINED, InstanceState.INSTANTIATING, InstanceState.UP):
        raise Conflict(f"the instance is {instance.state.replace('_', ' ')}", where=instance.name, next="A run needs one that is up")
    spec, last = load_spec(session, instance.spec_id), last_run(session, instance)
    values = present_values(session, instance, spec)
    if unknown := set(parameters or {}) - set(values):
        raise InvalidInput(f"the template has no parameter '{min(unknown)}'", where=instance.name,
                           next=f"It has: {', '.join(sorted(values))}" if values else "It has none")
    run = Run(instance_id=instance.id, number=last.number + 1 if last else 1, template_id=instance.template_id, spec_id=instance.spec_id,
              parameters=values | dict(parameters or {}), origin=origin, inputs=inputs or [], created_by=created_by,
              environment_of_run=environment_of_run or spec.environment_of_runs)
    session.add(run)
    session.flush()
    return run


def present_values(session: Session, instance: Instance, spec: Spec) -> dict[str, str]:
    """Every parameter's: as in the last run; before the first, and where the instance was changed since then, as it is made. Else a record
    would say of links what they were not. spec: the instance's."""
    values = {parameter.name: parameter.value for parameter in spec.parameters}
    last = last_run(session, instance)
    if last is None:
        return values
    of_last = dict(last.parameters)
    if of_last and last.spec_id != instance.spec_id:
        made = {parameter.name: parameter.value for parameter in load_spec(session, last.spec_id).parameters}
        of_last = {name: value for name, value in of_last.items() if values.get(name) == made.get(name)}
    values |= {name: value for name, value in of_last.items() if name in values}
    if last.instance_id != instance.id:
        values |= {name: value for name, value in instance.parameters.items() if name in values}
    return values


def last_run(session: Session, instance: Instance, until_ns: int | None = None) -> Run | None:
    """The newest that had begun by that virtual instant (default: by now); of a fork without any, the one its source had then."""
    mine = select(Run).where(Run.instance_id == instance.id).order_by(col(Run.number).desc())
    if until_ns is not None:
        mine = mine.where(col(Run.begin_ns) <= until_ns)
    if (own := session.exec(mine).first()) is not None or instance.forked_from_id is None:
        return own
    checkpoint = session.get_one(Checkpoint, instance.forked_from_id)
    return last_run(session, session.get_one(Instance, checkpoint.instance_id), checkpoint.virtual_ns)


def current_run(session: Session, instance_id: str) -> Run | None:
    """The run that is going on, from its definition to the end of its stopping."""
    return session.exec(select(Run).where(Run.instance_id == instance_id, col(Run.state).in_(GOING_ON))).first()


def run_by_id(session: Session, run_id: str) -> Run:
    run = session.get(Run, run_id)
    if run is None:
        raise NotFound("no such run", where=run_id)
    return run
