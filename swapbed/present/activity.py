"""What happened in a run, a sentence each."""

from __future__ import annotations

from models.protocol.conductor import ActivityLine
from swapbed.present import units

NEXT_LINE = "\n" + " " * 13  # below what stands behind the time
AS_TEXT = {"log": "text", "message": "text", "warning": "text", "report": "text"}


def sentence(line: ActivityLine) -> str:
    """`   4.002 s  north-east down  fired (timeline)`: run time, or virtual time in brackets where no run goes on."""
    time = f"{line.run_ns / 1e9:9.3f} s" if line.run_ns is not None else f"[{line.actual_ns / 1e9:8.3f}]  "
    about = " ".join(part for part in (line.target, line.verb) if part)
    return "  ".join(part for part in (time, about, _what(line)) if part)


def _what(line: ActivityLine) -> str:
    if line.kind in AS_TEXT:
        return f"{line.kind}: {line.detail.get(AS_TEXT[line.kind], '')}".replace("\n", NEXT_LINE)
    if line.kind == "fired":
        late_s = (line.actual_ns - line.planned_ns) / 1e9 if line.planned_ns is not None else 0
        late = f", {units.duration(late_s)} late" if late_s > 1e-3 else ""
        return f"fired ({line.origin or 'by itself'}{late})"
    if line.kind == "exited":
        return ", ".join(part for part in (ending(line.detail), usage(line.detail)) if part) + _outcome(line)
    if line.kind in ("node-died", "wires-died"):
        whose = "the wires " if line.kind == "wires-died" else ""
        return f"{whose}died: {line.detail.get('reason', '')} ({line.detail.get('failure', '')})"
    if line.kind == "recording":
        return f"recording '{line.detail.get('name', '')}': {line.detail.get('action', '')}"
    if line.kind == "node-back":
        return "is back, made anew" if line.detail.get("anew") else "is back"
    if line.kind == "resumed" and "host" in line.detail:
        before = line.detail.get("host_before", line.detail["host"])
        return f"resumed on {line.detail['host']}" + (f", was on {before}" if before != line.detail["host"] else "")
    if line.kind == "wires-back":
        return "the wires are back"
    return line.kind + _outcome(line)


def ending(detail: dict) -> str:
    """How a program ended: `exit code 0`, `signal 15 (stopped)`."""
    if detail.get("signal") is not None:
        how = f"signal {detail['signal']}"
    elif detail.get("code") is not None:
        how = f"exit code {detail['code']}"
    else:
        how = detail.get("error") or "lost"
    return how + (" (stopped)" if detail.get("stopped") else " (timed out)" if detail.get("timed_out") else "")


def usage(detail: dict) -> str:
    """`0.12 s cpu, 8 MiB`, as far as it is known."""
    parts = []
    if "user_s" in detail:
        parts.append(f"{units.duration(detail['user_s'] + detail['system_s'])} cpu")
    if detail.get("max_rss_kib"):
        parts.append(units.size(detail["max_rss_kib"] * 1024))
    return ", ".join(parts)


def _outcome(line: ActivityLine) -> str:
    if line.outcome is None or line.outcome.ok:
        return ""
    return f": {line.outcome.error or f'code {line.outcome.code}'}"
