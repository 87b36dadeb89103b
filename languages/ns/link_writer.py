"""A link or LAN of a spec as ns commands: the whole first, then what is special about a direction or a member."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from decimal import Decimal

from languages.ns.event_writer import number, rate
from languages.ns.tcl_text import reference, word
from models.shaping import path
from models.spec import Lan, Queue, Red, Shaping, Trace

_RED = (
    ("min_threshold", "thresh_"),
    ("max_threshold", "maxthresh_"),
    ("weight", "q_weight_"),
    ("linear_term", "linterm_"),
    ("gentle", "gentle_"),
    ("mean_packet_size_bytes", "mean_pktsize_"),
    ("byte_mode", "bytes_"),
    ("wait", "wait_"),
    ("mark", "setbit_"),
)
LEAST_LOSS = 0.000005


def link_lines(lan: Lan, names: Callable[[str], str]) -> Iterator[str]:
    own = reference(names(lan.name))
    refs = [reference(names(m.node)) for m in lan.members]
    yield from (_link if lan.kind == "link" else _lan)(lan, word(names(lan.name)), own, refs)
    if lan.cost != 1:
        yield f"{own} cost {number(lan.cost)}"
    if lan.trace is not None:
        yield from _trace(lan.trace, own, {m.node: ref for m, ref in zip(lan.members, refs, strict=True)})


def _link(lan: Lan, variable: str, own: str, refs: list[str]) -> Iterator[str]:
    """A direction is the sender's uplink and the receiver's downlink together."""
    first, second = lan.members
    forth, back = path(first.uplink, second.downlink), path(second.uplink, first.downlink)
    queue = first.uplink.queue
    yield f"set {variable} [$ns duplex-link {refs[0]} {refs[1]} {rate(forth.bandwidth_bps)} {_ms(forth.delay_s)} {_type(queue)}]"
    if _values(forth) == _values(back):
        if forth.loss:
            yield f"tb-set-link-loss {own} {_loss(forth.loss)}"
    else:
        for ref, way in zip(refs, (forth, back), strict=True):
            yield f"tb-set-link-simplex-params {own} {ref} {_ms(way.delay_s)} {rate(way.bandwidth_bps)} {_loss(way.loss)}"
    for member, ref in zip(lan.members, refs, strict=True):
        yield from (f"[{own} Queue {ref}] set {setting}" for setting in _settings(member.uplink.queue, _type(queue)))


def _lan(lan: Lan, variable: str, own: str, refs: list[str]) -> Iterator[str]:
    ways = [m.uplink for m in lan.members if _values(m.uplink) == _values(m.downlink)] or [m.uplink for m in lan.members]
    base = _commonest(ways)
    yield f'set {variable} [$ns make-lan "{" ".join(refs)}" {rate(base.bandwidth_bps)} {_ms(base.delay_s * 2)}]'
    if base.loss:
        yield f"tb-set-lan-loss {own} {_loss(path(base, base).loss)}"
    for member, ref in zip(lan.members, refs, strict=True):
        if _values(member.uplink) != _values(base) or _values(member.downlink) != _values(base):
            sides = " ".join(f"{_ms(s.delay_s)} {rate(s.bandwidth_bps)} {_loss(s.loss)}" for s in (member.uplink, member.downlink))
            yield f"tb-set-lan-simplex-params {own} {ref} {sides}"
        yield from (f"[{own} Queue {ref}] set {setting}" for setting in _settings(member.uplink.queue, "DropTail"))


def _commonest(ways: list[Shaping]) -> Shaping:
    """What most members have; a loss that is one member's alone, or no half of a round number, is better said of the members."""
    values = [_values(way) for way in ways]
    base = ways[max(range(len(ways)), key=lambda index: values.count(values[index]))]
    whole = path(base, base).loss
    lonely = values.count(_values(base)) == 1 or 1 - math.sqrt(1 - whole) != base.loss
    return base.model_copy(update={"loss": 0.0}) if lonely else base


def _values(shaping: Shaping) -> tuple[int, float, float]:
    return shaping.bandwidth_bps, shaping.delay_s, shaping.loss


def _type(queue: Queue) -> str:
    return "DropTail" if queue.discipline == "droptail" else "GRED" if queue.red.gentle else "RED"


def _settings(queue: Queue, type: str) -> Iterator[str]:
    """What differs from a new queue of this type."""
    default = Queue(discipline="droptail" if type == "DropTail" else "red", red=Red(gentle=type == "GRED"))
    if queue.discipline != default.discipline:
        yield f"red_ {int(queue.discipline == 'red')}"
    if queue.unit != default.unit:
        yield f"queue-in-bytes_ {int(queue.unit == 'bytes')}"
    if queue.limit != default.limit:
        yield f"limit_ {queue.limit}"
    for field, variable in _RED:
        value = getattr(queue.red, field)
        if value != getattr(default.red, field):
            yield f"{variable} {number(int(value) if isinstance(value, bool) else value)}"


def _trace(trace: Trace, own: str, refs: dict[str, str]) -> Iterator[str]:
    filter = f" {word(trace.filter)}" if trace.filter else ""
    if not trace.members:
        yield f"{own} trace {trace.what}{filter}"
    for node in trace.members:
        yield f"{own} SetTraceParams {refs[node]} {trace.what} 0{filter}"
    if trace.snap_bytes:
        yield f"{own} trace_snaplen {trace.snap_bytes}"
    if trace.end_nodes:
        yield f"{own} trace_endnode 1"


def _ms(seconds: float) -> str:
    """Whole milliseconds, the finest that ns has; what is less than one but not nothing is one."""
    exact = Decimal(repr(seconds)) * 1000
    return f"{max(1, round(exact)) if exact else 0}ms"


def _loss(fraction: float) -> str:
    return number(max(fraction, LEAST_LOSS)) if fraction else "0"
