"""The spec: what a template's source evaluates to under given parameter values, whatever its language.

Plain data, immutable, hashable to canonical JSON; no host, path or database id. Every language builds one of these and
everything below (allocator, wires, conductor, records) reads nothing else. Units are in the names: `_s` seconds of
virtual time, `_bps` bits per second (0 means unlimited), `_bytes`. All names of things that events can address (nodes,
LANs, agents, groups, sequences, timelines) share one name space per spec; `instance` is reserved for the instance itself.
"""

from models.spec.activity import (
    Agent,
    Event,
    Group,
    ProgramAgent,
    Sequence,
    TargetKind,
    TimedEvent,
    Timeline,
    TimelineEntry,
    TrafficAgent,
    check_event,
)
from models.spec.network import INTERFACE, Lan, Member, Queue, Red, Shaping, Trace
from models.spec.nodes import Node, Route, Tarball, Volume
from models.spec.part import BitRate, Fraction, Inconsistent, Part
from models.spec.whole import INSTANCE, Collect, Parameter, Rules, Spec

__all__ = [
    "Agent", "BitRate", "Collect", "Event", "Fraction", "Group", "INSTANCE", "INTERFACE", "Inconsistent", "Lan", "Member", "Node",
    "Parameter", "Part", "ProgramAgent", "Queue", "Red", "Route", "Rules", "Sequence", "Shaping", "Spec", "Tarball", "TargetKind",
    "TimedEvent", "Timeline", "TimelineEntry", "Trace", "TrafficAgent", "Volume", "check_event",
]
