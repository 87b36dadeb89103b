"""Recordings in the database: brought up to date from the conductor until they are finished, and only edited by people from then on."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import Session, col, delete, select

from models.errors import NotFound
from models.protocol import conductor
from models.states import RecordingState
from models.tables import Instance, Project, Recording, RecordingEvent

_STATES = {"recording": RecordingState.RECORDING, "paused": RecordingState.PAUSED, "finished": RecordingState.CLOSED}


def keep_recordings(session: Session, instance: Instance, present: Iterable[conductor.Recording]) -> None:
    """As the conductor has them now. One that is closed here stays as it is: it may have been edited since."""
    known = {one.name: one for one in session.exec(select(Recording).where(Recording.instance_id == instance.id))}
    for one in present:
        row = known.get(one.name)
        if row is None:
            row = Recording(instance_id=instance.id, name=one.name, begin_ns=one.begin_ns, created_by=instance.created_by)
            session.add(row)
            session.flush()
        elif row.state is RecordingState.CLOSED:
            continue
        row.state, row.skipped_ns, row.paused_ns = _STATES[one.state], one.skipped_ns, one.paused_ns
        replace_events(session, row, (RecordingEvent(recording_id=row.id, position=position, offset_ns=event.offset_ns, target=event.target,
                                                     verb=event.verb, node=event.node,
                                                     arguments=event.arguments.model_dump(mode="json", exclude_none=True))
                                      for position, event in enumerate(one.events)))


def replace_events(session: Session, recording: Recording, events: Iterable[RecordingEvent]) -> None:
    session.exec(delete(RecordingEvent).where(col(RecordingEvent.recording_id) == recording.id))
    session.add_all(events)


def events_of(session: Session, recording: Recording) -> list[RecordingEvent]:
    """In the order of replay."""
    mine = select(RecordingEvent).where(RecordingEvent.recording_id == recording.id)
    return list(session.exec(mine.order_by(col(RecordingEvent.position))))


def recordings_of(session: Session, project: Project, instance: str | None = None) -> list[tuple[Recording, Instance]]:
    """Oldest first, of instances that have ended, too. instance: name or id; of a name that was used again, of all that had it."""
    every = select(Recording, Instance).join(Instance, col(Recording.instance_id) == Instance.id).where(Instance.project_id == project.id)
    if instance is not None:
        every = every.where((col(Instance.name) == instance) | (col(Instance.id) == instance))
    return list(session.exec(every.order_by(col(Recording.created_at), col(Recording.id))))


def find_recording(session: Session, project: Project, text: str) -> tuple[Recording, Instance]:
    """By INSTANCE/NAME, or id; of several (an instance's name may be used again) the last."""
    instance, _, name = text.partition("/")
    found = [(row, of) for row, of in recordings_of(session, project) if text == row.id or name and row.name == name
             and instance in (of.name, of.id)]
    if not found:
        raise NotFound("there is no such recording", where=text, next="`swapbed record-events ls` lists them, as INSTANCE/NAME")
    return found[-1]
