"""What happens in a spec: agents, and the events that are told to them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from models.events import VERBS, Arguments, Environment, Seconds
from models.spec.part import BitRate, Part


class TargetKind(StrEnum):
    INSTANCE, NODE, LAN, PROGRAM, TRAFFIC, GROUP, SEQUENCE, TIMELINE = (
        "instance", "node", "lan", "program", "traffic", "group", "sequence", "timeline")


class ProgramAgent(Part):
    """The testbed-managed entity that runs a program in a node when events tell it to."""

    kind: Literal["program"] = "program"
    name: str
    node: str
    command: str = Field(default="", description="run by /bin/sh -c; may use $DATASTORE, $ARCHIVE, $NODE, $LOGDIR, $RUN, parameters")
    directory: str | None = Field(default=None, description="None: the agent's log directory")
    timeout_s: Seconds | None = None
    expected_exit_code: int | None = Field(default=None, ge=0, le=255,
                                           description="None: anything counts as success for `start`; `run` expects 0")
    environment: Environment = {}
    user: str = "root"


class TrafficAgent(Part):
    """One end of a traffic generator pair; `peer` is the name of the other end."""

    kind: Literal["traffic"] = "traffic"
    name: str
    node: str
    role: Literal["source", "sink"]
    protocol: Literal["udp", "tcp"]
    peer: str | None = None
    application: Literal["cbr", "ftp", "telnet"] = "cbr"
    address: str | None = Field(default=None, description="own IP, without prefix length; None: nearest to the peer")
    port: int = Field(default=5001, ge=1, le=65535)
    packet_size_bytes: int = Field(default=500, ge=1, le=65507)
    rate_bps: BitRate | None = None
    interval_s: Seconds | None = Field(default=None, description="takes precedence over rate_bps when set")
    type_of_service: int | None = Field(default=None, ge=0, le=255)


def _agent_kind(value: Any) -> str:
    """Specs are kept and sent without what is default, and `kind` is: then what only a traffic agent has tells."""
    if isinstance(value, dict):
        return value.get("kind") or ("traffic" if "role" in value else "program")
    return value.kind


Agent = Annotated[Annotated[ProgramAgent, Tag("program")] | Annotated[TrafficAgent, Tag("traffic")], Discriminator(_agent_kind)]


class Event(Part):
    """One thing told to one target. See `models.events` for targets' verbs and their arguments."""

    target: str
    verb: str
    arguments: Arguments = Arguments()


class TimedEvent(Event):
    """An event of the run's own timeline, `at_s` after the run began, or `on` a trigger."""

    at_s: Seconds = 0
    on: Literal["time", "swapout"] = "time"


class Group(Part):
    name: str
    members: tuple[str, ...]


class Sequence(Part):
    """Steps, each fired when the one before completed. A failed step ends the sequence with its error."""

    name: str
    steps: tuple[Event, ...] = ()
    on_error: str | None = Field(default=None, description="sequence run in place of the rest when a step failed; its outcome counts then")


class TimelineEntry(Event):
    at_s: Seconds = Field(default=0, description="after the timeline's own start")


class Timeline(Part):
    """Entries relative to the timeline's start; complete when its last entry has been fired and has completed."""

    name: str
    entries: tuple[TimelineEntry, ...] = ()


def check_event(event: Event, kinds: dict[str, TargetKind], groups: tuple[Group, ...], where: str = "event") -> None:
    """Raise ValueError unless the target exists and knows the verb (a group: each of its members)."""
    kind = kinds.get(event.target)
    if kind is None:
        raise ValueError(f"{where}: event '{event.verb}' for unknown target '{event.target}'")
    members = next((g.members for g in groups if g.name == event.target), ()) if kind is TargetKind.GROUP else (event.target,)
    for member in members:
        verbs = VERBS[kinds[member].value]
        if event.verb not in verbs:
            raise ValueError(f"{where}: '{member}' is a {kinds[member].value} and does not know '{event.verb}' "
                             f"(it knows: {', '.join(sorted(verbs))})")
        verbs[event.verb].check(event.arguments, f"{where}: {event.target} {event.verb}")
