"""The verbs on recordings: of what someone does by hand in a living instance, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel

from languages.evaluate import Source
from languages.recording import Recorded, read, show
from languages.source_addition import with_recording
from languages.units import parse_duration
from models.database import reading, writing
from models.errors import Conflict, InvalidInput, NotFound
from models.events import Arguments
from models.instances import instance_by_id
from models.protocol.conductor import ControlRecording, Recordings
from models.protocol.control import Nothing
from models.recordings import events_of, find_recording, keep_recordings, recordings_of, replace_events
from models.spec import Parameter, TimelineEntry
from models.states import InstanceState, RecordingState
from models.tables import Instance, Recording, RecordingEvent
from models.templates import add_template
from swapbed import lifecycle, templates
from swapbed.living.access import Access
from swapbed.privilege import user
from swapbed.templates import Committed

Action = Literal["start", "stop", "pause", "continue", "step"]
Form = Literal["timeline", "sequence"]
NS = 10**9


class ShownRecording(BaseModel):
    """length_s: recorded time of its last event."""

    id: str
    name: str
    instance: str
    state: str
    events: int
    length_s: float
    created_by: str


def control(instance: str, action: Action, name: str = "") -> ShownRecording:
    """Of a living instance's recording that is not finished; start begins one of this name. Its clock stands still from pause to continue;
    step lets it run until one event was recorded."""
    with Access.to(instance) as access:
        asked = ControlRecording(action=action, name=name)
        present = access.conductor("control_recording", asked, Recordings).recordings
        _keep(access.instance_id, present)
        return next(one for one in every(access.instance_id, fresh=False) if one.name == present[-1].name)


def every(instance: str | None = None, *, fresh: bool = True) -> list[ShownRecording]:
    """Oldest first; also of instances that have ended. fresh: as their conductors have them at this moment."""
    mine = lifecycle.project()
    if fresh:
        for known in lifecycle.all_living(hidden=True):
            if instance in (None, known.row.name, known.row.id) and known.row.state == InstanceState.UP:
                _refresh(known.row.id)
    with reading() as session:
        return [_shown(row, of, events_of(session, row)) for row, of in recordings_of(session, mine, instance)]


def text(recording: str) -> str:
    """One event a line, to be read, edited and given to `edit`."""
    row, of = _find(recording)
    return f"# {of.name}/{row.name}, recorded by {row.created_by}\n{show(_recorded(row))}"


def edit(recording: str, text: str) -> ShownRecording:
    """Lines may be moved, retimed, deleted, added. Raises InvalidInput with the line, Conflict while it is being recorded."""
    row, of = _find(recording, finished=True)
    lines = read(text, f"{of.name}/{row.name}")
    events = [RecordingEvent(recording_id=row.id, position=position, offset_ns=round(line.entry.at_s * NS), target=line.entry.target,
                             verb=line.entry.verb, node=line.node,
                             arguments=line.entry.arguments.model_dump(mode="json", exclude_none=True))
              for position, line in enumerate(lines)]
    shown = _shown(row, of, events)
    with writing() as session:
        replace_events(session, row, events)
    return shown


def attach(recording: str, template: str, form: Form = "timeline", *, name: str | None = None, at: str | float | None = None,
           parameters: Mapping[str, Any] | None = None) -> Committed:
    """A child of the template with the recording as a timeline or sequence of that name (default: its own), and the agents it needs.

    at: run time at which each run starts it; None: whoever wants it starts it. parameters: as in `templates.create`.
    """
    row, _ = _find(recording, finished=True)
    parent = templates.find(template)
    if parent.source is None:
        raise NotFound("this template was expunged", where=template)
    source = Source(parent.source_name, parent.source, parent.language)
    values = {key: str(value) for key, value in (parameters or {}).items()}
    added = with_recording(source, name or row.name, _recorded(row), form, at_s=_seconds(at), values=values)
    with writing() as session:
        child = add_template(session, lifecycle.project(), name=parent.name, language=parent.language, source=added.text,
                             source_name=parent.source_name, created_by=user(), parent=parent, datastore=parent.datastore,
                             datastore_name=parent.datastore_name, externals=parent.externals,
                             parameters=[Parameter.model_validate(each) for each in parent.parameters])
        return Committed(child, child.id != parent.id)


def _seconds(at: str | float | None) -> float | None:
    try:
        return None if at is None else parse_duration(at, "time")
    except ValueError as error:
        raise InvalidInput(str(error), where="at") from None


def _find(recording: str, *, finished: bool = False) -> tuple[Recording, Instance]:
    mine = lifecycle.project()
    for known in lifecycle.all_living(hidden=True):
        if recording.partition("/")[0] in (known.row.name, known.row.id) and known.row.state == InstanceState.UP:
            _refresh(known.row.id)
    with reading() as session:
        row, of = find_recording(session, mine, recording)
    if finished and row.state is not RecordingState.CLOSED and of.ended_at is None:
        raise Conflict("this is still being recorded", where=recording, next=f"`swapbed record-events stop {of.name}`")
    return row, of


def _refresh(instance: str) -> None:
    """A conductor that cannot be reached now has nothing newer to say."""
    try:
        with Access.to(instance) as access:
            _keep(access.instance_id, access.conductor("recordings", Nothing(), Recordings).recordings)
    except (NotFound, Conflict):
        return


def _keep(instance_id: str, present: Iterable[Any]) -> None:
    with writing() as session:
        keep_recordings(session, instance_by_id(session, instance_id), present)


def _recorded(row: Recording) -> tuple[Recorded, ...]:
    with reading() as session:
        events = events_of(session, row)
    return tuple(Recorded(node=event.node, entry=TimelineEntry(target=event.target, verb=event.verb, at_s=event.offset_ns / NS,
                                                               arguments=Arguments.model_validate(event.arguments))) for event in events)


def _shown(row: Recording, of: Instance, events: list[RecordingEvent]) -> ShownRecording:
    length_ns = max((event.offset_ns for event in events), default=0)
    return ShownRecording(id=row.id, name=row.name, instance=of.name, state=row.state, events=len(events), length_s=length_ns / NS,
                          created_by=row.created_by)
