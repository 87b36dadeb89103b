"""The verbs on instances: deploy, destroy, find, list. Command line and Python API both call these."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlmodel import Session, col, select

from languages.evaluate import Evaluation, Source
from models.database import reading, writing
from models.errors import NotFound
from models.hosts import find_host
from models.instances import define_instance, find_instance, instance_by_id, living
from models.protocol.control import Progress
from models.settings import settings
from models.spec import Spec
from models.states import InstanceState
from models.tables import Instance as InstanceRow
from models.tables import Project, Run, Template
from models.tables.columns import now
from models.templates import commit_source, find_template, latest, load_spec, project_named
from models.transition import transition
from swapbed.present.progress import Report, quiet
from swapbed.privilege import require_root, user
from swapbed.serving import server, store_server
from swapbed.serving.launch import launch
from swapbed.sources.source import evaluated
from swapbed.sources.template_content import datastore_of, stored_content

if TYPE_CHECKING:
    from swapbed.sources.source import Definition

NUMBERED = re.compile(r"@[0-9]+$")


@dataclass(frozen=True)
class Known:
    """What the database knows of one instance. run: the last one, which may be going on."""

    row: InstanceRow
    template: Template
    spec: Spec
    run: Run | None


def project() -> Project:
    """The one that the settings name; made if it is not there yet. Whatever works on it finds the state directory's own store running."""
    require_root()
    store_server.ensure()
    with writing() as session:
        return project_named(session, settings().project)


def host_named(name: str) -> str:
    """Its id. Raises NotFound, with the names that there are."""
    with writing() as session:
        return find_host(session, name).id


def find(name: str) -> Known:
    """A living instance by its name, or any by its id."""
    mine = project()
    with reading() as session:
        return _known(session, find_instance(session, mine, name))


def all_living(*, hidden: bool = False) -> list[Known]:
    mine = project()
    with reading() as session:
        return [_known(session, row) for row in living(session, mine) if hidden or row.hidden_at is None]


def deploy(definition: Definition, *, name: str | None = None, parameters: Mapping[str, Any] | None = None, start_run: bool = True,
           host: str | None = None, report: Report = quiet) -> tuple[Known, Evaluation]:
    """Instantiate the template that the definition is or leads to, and start its first run; returns when that has begun.

    host: the name of the one that it must be on; None: whichever has room.
    """
    require_root()
    home_id = host_named(host) if host else None
    chosen = template_named(definition)
    source, evaluation = evaluated(source_of(chosen) if chosen else definition, parameters)
    report("starting Prefect and the controller", 0, 0)
    server.ensure()
    row = _define(chosen or committed(source, evaluation), evaluation, name, parameters, start_run, home_id)
    try:
        launch("instantiate", pass_on(report), instance_id=row.id)
    except BaseException as error:
        _close_unless_begun(row.id, str(error) or type(error).__name__)
        raise
    return find(row.id), evaluation


def destroy(name: str, *, report: Report = quiet) -> Known:
    """Free everything that the instance has on its hosts; what there was to know of it is returned."""
    known = find(name)
    launch("destroy", pass_on(report), instance_id=known.row.id)
    return known


def template_name(source: Source) -> str:
    """`dumbbell` for dumbbell.yml, and for dumbbell.clab.yml."""
    return Path(source.name).name.partition(".")[0]


def template_named(definition: Definition) -> Template | None:
    """What `deploy name@3` means, where no file is called so. None: that is no template, and may be meant as a file."""
    if not isinstance(definition, (str, Path)) or Path(definition).exists():
        return None
    mine = project()
    try:
        with reading() as session:
            found = find_template(session, mine, str(definition))
    except NotFound:
        if NUMBERED.search(str(definition)):
            raise
        return None
    if found.source is None:
        raise NotFound("this template was expunged", where=str(definition))
    return found


def source_of(template: Template) -> Source:
    """Of one that is not expunged."""
    return Source(template.source_name, template.source or "", template.language)


def committed(source: Source, evaluation: Evaluation) -> Template:
    """The template that this is; an unchanged one is not made twice."""
    mine = project()
    with reading() as session:
        before = latest(session, mine, template_name(source))
    content = stored_content(mine, source, evaluation, datastore_of(source, evaluation), before)
    with writing() as session:
        return commit_source(session, mine, name=template_name(source), created_by=user(), **content.fields())


def _define(template: Template, evaluation: Evaluation, name: str | None, parameters: Mapping[str, Any] | None,
            start_run: bool, home_id: str | None) -> InstanceRow:
    mine = project()
    with writing() as session:
        return define_instance(session, mine, template, evaluation.spec, created_by=user(), name=name, start_run=start_run, home_id=home_id,
                               parameters={given: str(value) for given, value in (parameters or {}).items()})


def _close_unless_begun(instance_id: str, reason: str) -> None:
    """Of an instance whose flow never came to do anything: its name is free again. A flow that comes late finds it ended."""
    with writing() as session:
        if instance_by_id(session, instance_id).state == InstanceState.DEFINED:
            transition(session, InstanceRow, instance_id, InstanceState.DESTROYING, reason=reason)
            transition(session, InstanceRow, instance_id, InstanceState.FAILED, ended_at=now())


def _known(session: Session, row: InstanceRow) -> Known:
    template = session.get_one(Template, row.template_id)
    last = session.exec(select(Run).where(Run.instance_id == row.id).order_by(col(Run.number).desc())).first()
    return Known(row, template, load_spec(session, row.spec_id), last)


def pass_on(report: Report) -> Callable[[Progress], None]:
    """What a flow tells of its progress, to a Report."""
    return lambda progress: report(progress.text, progress.done, progress.total)
