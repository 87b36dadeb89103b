"""What an event's arguments make of a pipe's shaping: only the fields named change."""

from __future__ import annotations

from models.events import Arguments
from models.shaping import Direction, pipe_value
from models.spec import Shaping

OWN = ("bandwidth_bps", "delay_s", "jitter_s", "jitter_distribution", "loss")
QUEUE = {"queue_limit": "limit", "queue_unit": "unit"}
RED = {"red_min_threshold": "min_threshold", "red_max_threshold": "max_threshold", "red_weight": "weight", "red_linear_term": "linear_term"}


def reshaped(shaping: Shaping, values: Arguments, direction: Direction) -> Shaping:
    """The whole link's values are divided among its pipes as at its definition; those of one member or direction are that pipe's own."""
    given = {name: getattr(values, name) for name in values.given()}
    if values.member is None and values.direction is None:
        given = {name: pipe_value(name, value, direction) for name, value in given.items()}
    red = shaping.queue.red.model_copy(update={RED[name]: value for name, value in given.items() if name in RED})
    queue = shaping.queue.model_copy(update={"red": red} | {QUEUE[name]: value for name, value in given.items() if name in QUEUE})
    return shaping.model_copy(update={"queue": queue} | {name: value for name, value in given.items() if name in OWN})
