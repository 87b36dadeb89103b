"""The verbs on instances: deploy, destroy, find, list. Command line and Python API both call these."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from languages.evaluate import Evaluation, Source
from models.database import reading, writing
from models.errors import HostProblem
from models.instances import define_instance, find_instance, living
from models.protocol.control import Progress
from models.settings import settings
from models.spec import Spec
from models.tables import Instance as InstanceRow
from models.tables import Project, Run, Template
from models.templates import commit_source, load_spec, project_named
from swapbed.launch import launch
from swapbed.present.progress import Report, quiet
from swapbed.source import evaluated


@dataclass(frozen=True)
class Known:
    """What the database knows of one instance. run: the last one, which may be going on."""

    row: InstanceRow
    template: Template
    spec: Spec
    run: Run | None


def require_root() -> None:
    if os.geteuid() != 0:
        raise HostProblem("namespaces, mounts and Swapbed's state are root's", next="Run it with sudo.")


def user() -> str:
    """Who does this, for the rows that say who did something: the person behind sudo."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


def find(name: str) -> Known:
    """A living instance by its name, or any by its id."""
    with _reading() as (session, project):
        return _known(session, find_instance(session, project, name))


def all_living() -> list[Known]:
    with _reading() as (session, project):
        return [_known(session, row) for row in living(session, project)]


def deploy(path: Path | str, *, name: str | None = None, parameters: Mapping[str, Any] | None = None, start_run: bool = True,
           report: Report = quiet) -> tuple[Known, Evaluation]:
    """Instantiate the template that path leads to and start its first run; returns when that has begun."""
    require_root()
    source, evaluation = evaluated(path, parameters)
    row = _define(source, evaluation, name, parameters, start_run)
    launch("instantiate", partial(_pass_on, report), instance_id=row.id)
    return find(row.id), evaluation


def destroy(name: str, *, report: Report = quiet) -> Known:
    """Free everything that the instance has on its hosts; what there was to know of it is returned."""
    known = find(name)
    launch("destroy", partial(_pass_on, report), instance_id=known.row.id)
    return known


def template_name(source: Source) -> str:
    """`dumbbell` for dumbbell.yml, and for dumbbell.clab.yml."""
    return Path(source.name).name.partition(".")[0]


def _define(source: Source, evaluation: Evaluation, name: str | None, parameters: Mapping[str, Any] | None, start_run: bool) -> InstanceRow:
    with writing() as session:
        project = project_named(session, settings().project)
        template = commit_source(session, project, name=template_name(source), language=source.language, source=source.text,
                                 source_name=Path(source.name).name, parameters=evaluation.spec.parameters, created_by=user())
        return define_instance(session, project, template, evaluation.spec, created_by=user(), name=name, start_run=start_run,
                               parameters={given: str(value) for given, value in (parameters or {}).items()},
                               datastore_directory=evaluation.datastore)


@contextmanager
def _reading() -> Iterator[tuple[Session, Project]]:
    require_root()
    with writing() as session:
        project = project_named(session, settings().project)
    with reading() as session:
        yield session, project


def _known(session: Session, row: InstanceRow) -> Known:
    template = session.get_one(Template, row.template_id)
    last = session.exec(select(Run).where(Run.instance_id == row.id).order_by(col(Run.number).desc())).first()
    return Known(row, template, load_spec(session, row.spec_id), last)


def _pass_on(report: Report, progress: Progress) -> None:
    report(progress.text, progress.done, progress.total)
