"""Words for what a link or LAN is like: shaping, queues, RED, traces. See `languages.words`."""

from __future__ import annotations

from languages.units import (
    format_duration,
    format_loss,
    format_rate,
    format_size,
    parse_delay,
    parse_loss,
    parse_rate,
    parse_size,
)
from languages.words import Misread, Plain, Word, boolean, build, choice, integer, mapping, number, read, text, texts, within, write
from models.spec import Queue, Red, Trace

RED = {
    "min": Word("min_threshold", number), "max": Word("max_threshold", number), "weight": Word("weight", number),
    "mean_packet_size": Word("mean_packet_size_bytes", lambda v: parse_size(v, "mean_packet_size"), format_size),
    "linear_term": Word("linear_term", number), "gentle": Word("gentle", boolean), "wait": Word("wait", boolean),
    "mark": Word("mark", boolean), "byte_mode": Word("byte_mode", boolean),
}


def read_queue(value: Plain) -> Queue:
    """`50` (packets), `64KB` (bytes), or a mapping of limit, unit, discipline and red, which implies RED."""
    if not isinstance(value, dict):
        return Queue(**_limit(value))
    known = ("limit", "unit", "discipline", "red")
    fields = read({"discipline": Word("discipline", choice("droptail", "red"))}, value, "a queue", also=set(known) - {"discipline"})
    if value.get("limit") is not None:
        fields |= within("limit", _limit, value["limit"])
    if value.get("unit") is not None:
        unit = within("unit", choice("packets", "bytes"), value["unit"])
        if unit == "packets" and fields.get("unit") == "bytes":
            raise Misread(f"limit '{value['limit']}' is in bytes, but unit says packets", "unit")
        fields["unit"] = unit
    if value.get("red") is not None:
        fields["red"] = within("red", lambda v: build(Red, RED, mapping(v), "red"), value["red"])
        fields.setdefault("discipline", "red")
    return Queue(**fields)


def _limit(value: Plain) -> dict[str, Plain]:
    try:
        return {"limit": integer(value)}
    except ValueError:
        return {"limit": parse_size(value, "queue limit"), "unit": "bytes"}


def write_queue(queue: Queue) -> Plain:
    plain: dict[str, Plain] = {}
    if queue.limit != 50 or queue.unit == "bytes":
        plain["limit"] = queue.limit
    if queue.unit == "bytes":
        plain["unit"] = "bytes"
    if queue.red != Red():
        plain["red"] = write(RED, queue.red)
    if queue.discipline == "red" or queue.red != Red():
        plain["discipline"] = queue.discipline
    return queue.limit if set(plain) <= {"limit"} else plain


SHAPING = {
    "bandwidth": Word("bandwidth_bps", parse_rate, format_rate),
    "delay": Word("delay_s", parse_delay, format_duration),
    "jitter": Word("jitter_s", parse_delay, format_duration),
    "distribution": Word("jitter_distribution", choice("uniform", "normal", "pareto")),
    "loss": Word("loss", parse_loss, format_loss),
    "queue": Word("queue", read_queue, write_queue),
}

_TRACE = {
    "what": Word("what", choice("header", "packet", "monitor")), "filter": Word("filter", text),
    "snap": Word("snap_bytes", lambda v: parse_size(v, "snap")), "end_nodes": Word("end_nodes", boolean),
    "members": Word("members", texts, list),
}


def read_trace(value: Plain) -> Trace | None:
    """`true`, `false`, `header`, `packet`, `monitor`, or a mapping."""
    if isinstance(value, dict):
        return build(Trace, _TRACE, value, "a trace")
    if value in ("header", "packet", "monitor"):
        return Trace(what=value)
    return Trace() if boolean(value) else None


def write_trace(trace: Trace | None) -> Plain:
    if trace is None:
        return False
    plain = write(_TRACE, trace)
    return True if not plain else plain["what"] if set(plain) == {"what"} else plain


LAN = {"cost": Word("cost", number), "mask": Word("mask", text), "trace": Word("trace", read_trace, write_trace)}
