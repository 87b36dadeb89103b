"""Dynamic recording: what someone does by hand, with its time, on a clock that can be stopped."""

from __future__ import annotations

from models.events import Arguments
from models.protocol.conductor import RecordedEvent, Recording
from models.spec import Event
from nodeops.conductor.happenings import ChangeRecording, RecordCommand
from nodeops.conductor.stage import Stage

NAME_LIMIT = 63


class Recorder:
    """At most one recording is not finished."""

    def __init__(self, stage: Stage):
        self.stage = stage

    def current(self) -> Recording | None:
        recordings = self.stage.state.recordings
        return recordings[-1] if recordings and recordings[-1].state != "finished" else None

    def objection(self, told: ChangeRecording) -> str | None:
        """Why that cannot be done now."""
        current = self.current()
        if told.action == "start":
            if not 0 < len(told.name) <= NAME_LIMIT:
                return f"a recording needs a name of at most {NAME_LIMIT} characters"
            if current is not None:
                return f"the recording '{current.name}' is not finished"
            if any(recording.name == told.name for recording in self.stage.state.recordings):
                return f"there is a recording '{told.name}' already"
            return None
        if current is None:
            return "nothing is being recorded"
        wrong = {"pause": "paused", "continue": "recording", "step": "recording"}.get(told.action)
        return f"the recording '{current.name}' is {wrong} already" if current.state == wrong else None

    def change(self, told: ChangeRecording) -> None:
        if told.petition is not None:
            self.stage.state.petitions[told.petition.node] = told.petition.number
        if self.objection(told) is not None:
            return
        if told.action == "start":
            self.stage.state.recordings.append(Recording(name=told.name, begin_ns=told.now_ns))
        elif told.action == "stop":
            self._replace(state="finished")
        elif told.action == "pause":
            self._replace(state="paused", paused_ns=told.now_ns)
        else:
            self._go_on(step=told.action == "step")
        self.stage.say("recording", detail={"action": told.action, "name": self.stage.state.recordings[-1].name})

    def note(self, event: Event) -> None:
        """An event sent by hand is fired now."""
        self._add(event, self.stage.now_ns, None)

    def command(self, told: RecordCommand) -> None:
        """The agent that will run it at the replay is not in the template yet; whoever attaches the recording to one adds it."""
        self.stage.state.petitions[told.petition.node] = told.petition.number
        arguments = Arguments(command=told.command, directory=told.directory)
        self._add(Event(target=f"recorded-{told.node}", verb="run", arguments=arguments), told.start_ns, told.node)

    def _add(self, event: Event, at_ns: int, node: str | None) -> None:
        current = self.current()
        if current is None:
            return
        if current.paused_ns is not None:
            at_ns = min(at_ns, current.paused_ns)
        recorded = RecordedEvent(offset_ns=max(0, at_ns - current.begin_ns - current.skipped_ns), target=event.target, verb=event.verb,
                                 arguments=event.arguments, node=node)
        self._replace(events=(*current.events, recorded))
        if current.step:
            self._replace(state="paused", paused_ns=self.stage.now_ns, step=False)

    def _go_on(self, step: bool) -> None:
        current = self.current()
        assert current is not None and current.paused_ns is not None
        self._replace(state="recording", step=step, paused_ns=None, skipped_ns=current.skipped_ns + self.stage.now_ns - current.paused_ns)

    def _replace(self, **fields: object) -> None:
        self.stage.state.recordings[-1] = self.stage.state.recordings[-1].model_copy(update=fields)
