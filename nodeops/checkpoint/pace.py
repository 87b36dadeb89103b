"""How long a restore is planned to take, for the instant at which nodes are let go must be known before the first of them is made.

What is planned too short is begun again, what is planned too long is waited for: so it is as this host's last restores went, with room.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from models.protocol.control import Message
from models.settings import settings

FIRST_NS, PER_NODE_NS, PER_BYTE_NS = 200_000_000, 80_000_000, 1  # of a slow host
ROOM = 1.5
WORST = 2.0  # what took longer, on a host that was short of something, is no measure for the next ones
REMEMBERED = 8


class Pace(Message):
    """Of the last restores: each one's time, in units of what a slow host would take."""

    ratios: tuple[float, ...] = ()


def slow_ns(nodes: int, size_bytes: int) -> int:
    """nodes: containers. size_bytes: of their images."""
    return FIRST_NS + PER_NODE_NS * nodes + PER_BYTE_NS * size_bytes


def planned_ns(nodes: int, size_bytes: int) -> int:
    ratios = _read().ratios
    return round(slow_ns(nodes, size_bytes) * (ROOM * max(ratios) if ratios and nodes else 1.0))


def remember(nodes: int, size_bytes: int, took_ns: int) -> None:
    """Machines alone say nothing of how fast containers are made. Where it cannot be written, the next one is planned without it."""
    if nodes:
        ratios = (*_read().ratios, min(WORST, took_ns / slow_ns(nodes, size_bytes)))
        with suppress(OSError):
            _path().write_text(Pace(ratios=ratios[-REMEMBERED:]).model_dump_json())


def _read() -> Pace:
    try:
        return Pace.model_validate_json(_path().read_bytes())
    except (FileNotFoundError, ValidationError):
        return Pace()


def _path() -> Path:
    return settings().state_dir / "restore-pace.json"
