"""Events of a spec as ns programs write them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal

from languages.ns.tcl_text import reference, word
from models.events import Arguments
from models.spec import Event, Spec, TargetKind

_INSTANCE = {"terminate": "terminate", "swapout": "swapout", "stop-run": "stoprun", "snapshot": "snapshot", "report": "report",
             "clean-logs": "cleanlogs"}
_QUEUE = (
    ("queue_limit", "limit_"),
    ("queue_unit", "queue-in-bytes_"),
    ("red_min_threshold", "thresh_"),
    ("red_max_threshold", "maxthresh_"),
    ("red_linear_term", "linterm_"),
    ("red_weight", "q_weight_"),
)
ALL_LANS = "__all_lans"


class EventWriter:
    """names: what each target is called in the program. refer: how such a name is written; by default as the variable that holds it."""

    def __init__(self, spec: Spec, names: Callable[[str], str], refer: Callable[[str], str] = reference):
        self._kinds = spec.targets()
        self._groups = {group.name: group for group in spec.groups}
        self._lans = {lan.name: lan for lan in spec.lans}
        self._refer = lambda name: refer(names(name))

    def words(self, event: Event) -> Iterator[list[str]]:
        """The event as one ns event or several, each as Tcl words; none if ns has no word for it."""
        if event.target == ALL_LANS:
            yield ["$ns", "reset-lans"]
            return
        kind = self._kinds[event.target]
        group = self._groups.get(event.target)
        judged = self._kinds[group.members[0]] if group is not None and group.members else kind
        target = "$ns" if kind is TargetKind.INSTANCE else self._refer(event.target)
        written = {TargetKind.INSTANCE: _instance, TargetKind.PROGRAM: _program, TargetKind.TRAFFIC: _traffic, TargetKind.LAN: self._lan,
                   TargetKind.NODE: _node}.get(judged, _started)(event)
        for words in written:
            yield words if words[0].startswith("[") else [target, *words]

    def _lan(self, event: Event) -> Iterator[list[str]]:
        a = event.arguments
        queue = ""
        lan = self._lans.get(event.target)
        if a.member is not None and lan is not None:
            queue = f"[{self._refer(lan.name)} Queue {self._refer(a.member)}]"
        if event.verb.startswith("trace-"):
            yield [*([queue] if queue else []), "trace", event.verb.removeprefix("trace-")]
        elif event.verb != "modify":
            yield [event.verb]
        elif queue and a.direction != "downlink":
            for field, variable in _QUEUE:
                if (value := getattr(a, field)) is not None:
                    text = str(int(value == "bytes")) if field == "queue_unit" else number(value)
                    yield [queue, "set", variable, text]
        elif not queue:
            yield from _whole_link(a)


def number(value: float | int) -> str:
    """Without exponent or needless zeros."""
    text = format(Decimal(repr(value)), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _whole_link(a: Arguments) -> Iterator[list[str]]:
    if a.bandwidth_bps is not None:
        yield ["bandwidth", rate(a.bandwidth_bps), "duplex"]
    if a.delay_s is not None:
        yield ["delay", f"{number(float(Decimal(repr(a.delay_s)) * 1000))}ms"]
    if a.loss is not None:
        yield ["plr", number(a.loss)]


def rate(bps: int) -> str:
    """In whole kbit/s, the finest that ns has; 0 is unlimited."""
    for unit, factor in (("Gb", 10**9), ("Mb", 10**6)):
        if bps and bps % factor == 0:
            return f"{bps // factor}{unit}"
    return f"{max(10, round(bps / 1000))}Kb" if bps else "*"


def _instance(event: Event) -> Iterator[list[str]]:
    if event.verb in _INSTANCE:
        yield [_INSTANCE[event.verb]]
    elif event.verb == "start-run":
        yield ["startrun", *(word(text) for pair in (event.arguments.parameters or {}).items() for text in pair)]
    else:
        yield [event.verb, word(event.arguments.text or "")]


def _program(event: Event) -> Iterator[list[str]]:
    a = event.arguments
    given = (("-command", a.command), ("-dir", a.directory), ("-timeout", None if a.timeout_s is None else number(a.timeout_s)),
             ("-expected-exit-code", a.expected_exit_code), ("-tag", a.tag))
    options = [text for option, value in given if value is not None for text in (option, word(str(value)))]
    yield [event.verb, word(a.signal)] if a.signal is not None else [event.verb, *options]


def _traffic(event: Event) -> Iterator[list[str]]:
    if event.verb != "modify":
        yield [event.verb]
        return
    a = event.arguments
    given = (("packetSize_", a.packet_size_bytes), ("rate_", None if a.rate_bps is None else f"{number(a.rate_bps / 1000)}Kb"),
             ("interval_", None if a.interval_s is None else number(a.interval_s)), ("iptos_", a.type_of_service))
    for variable, value in given:
        if value is not None:
            yield ["set", variable, str(value)]


def _node(event: Event) -> Iterator[list[str]]:
    if event.verb == "reboot":
        yield ["reboot"]
    elif event.verb == "snapshot" and event.arguments.text:
        yield ["snapshot-to", word(event.arguments.text)]


def _started(event: Event) -> Iterator[list[str]]:
    yield [event.verb]
