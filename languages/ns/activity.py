"""Sequences, timelines and groups of events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from languages.ns.lanlink import LanLink
from languages.ns.node import Node
from languages.ns.objects import NsObject, command
from languages.ns.program import Program
from languages.ns.quantities import seconds
from languages.ns.refusal import Refused
from languages.ns.traffic import Application

if TYPE_CHECKING:
    from languages.ns.world import Told, World

ONLY_AS_EVENT = "has an effect only as an event: `$ns at TIME \"$… start\"`"
NO_FILES = "programs write no files"


class EventGroup(NsObject):
    """Members are all of one kind; links and LANs count as one."""

    kind, noun = "EventGroup", "group"
    ignored = {"start": ONLY_AS_EVENT, "run": ONLY_AS_EVENT, "stop": ONLY_AS_EVENT}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.members: list[NsObject] = []

    @command("add", "MEMBER …")
    def add(self, *names: str) -> None:
        for name in names:
            member = self.world.find(name, Program, Application, LanLink, Node, EventSequence, EventTimeline, what="add")
            if self.members and _family(member) is not _family(self.members[0]):
                raise Refused(
                    f"members of a group are of one kind: {self.name} holds a {self.members[0].noun}, and '{name}' is a {member.noun}"
                )
            if member not in self.members:
                self.members.append(member)

    @command("members")
    def list_members(self) -> str:
        return " ".join(member.name for member in self.members)


class EventSequence(NsObject):
    """Steps, each when the one before completed. caught: the sequence that `catch` gives."""

    kind, noun = "EventSequence", "sequence"
    ignored = {"start": ONLY_AS_EVENT, "run": ONLY_AS_EVENT, "dump": NO_FILES}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.steps: list[Told] = []
        self.caught: EventSequence | None = None

    @command("append", "EVENT")
    def append(self, text: str) -> None:
        from languages.ns.events import told

        self.steps += told(self.world, text)


class EventTimeline(NsObject):
    """Events at times after its start."""

    kind, noun = "EventTimeline", "timeline"
    ignored = {"start": ONLY_AS_EVENT, "run": ONLY_AS_EVENT, "dump": NO_FILES}

    def __init__(self, world: World, name: str, line: int):
        super().__init__(world, name, line)
        self.entries: list[Told] = []

    @command("at", "TIME EVENT")
    def at(self, time: str, text: str) -> None:
        from languages.ns.events import told

        at_s = seconds(time)
        for event in told(self.world, text):
            event.at_s = at_s
            self.entries.append(event)


def _family(member: NsObject) -> type[NsObject]:
    return next((kind for kind in (LanLink, Program, Node) if isinstance(member, kind)), type(member))
