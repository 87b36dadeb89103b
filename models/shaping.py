"""What a link's or LAN's own values mean for its members' pipes, the same at definition and when an event modifies them.

A frame passes one uplink and one downlink, and meets in both together what was asked of the link. Emulab's rule: each of the
two pipes has half of the delay, the loss 1 - sqrt(1 - p), and the whole bandwidth and queue. Jitter (Emulab has none) is the
uplink's alone, so that the path has exactly the named distribution; what would make a frame leave early is cut at the uplink's
half of the delay. Values given for one member or one direction are that pipe's own and are not divided.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from models.spec import Shaping

Direction = Literal["uplink", "downlink"]


def pipe_value(field: str, value: Any, direction: Direction) -> Any:
    """One pipe's part of a link's value; field: a name of `Shaping` or of an event's `Arguments`."""
    if field == "delay_s":
        return value / 2
    if field == "jitter_s":
        return value if direction == "uplink" else 0.0
    if field == "loss":
        return 1 - math.sqrt(1 - value)
    return value


def halves(whole: Shaping) -> tuple[Shaping, Shaping]:
    """(uplink, downlink) of every member of a link or LAN with these values."""
    values = {field: getattr(whole, field) for field in whole.model_fields_set}
    return (Shaping.model_construct(**{f: pipe_value(f, v, "uplink") for f, v in values.items()}),
            Shaping.model_construct(**{f: pipe_value(f, v, "downlink") for f, v in values.items()}))


def path(uplink: Shaping, downlink: Shaping) -> Shaping:
    """What a frame meets on its way through both pipes: the inverse of `halves`, and what is asked of a measurement.

    Loss is rounded to 12 places, so that what was split reads as it was written. The queue is the uplink's.
    """
    rates = [s.bandwidth_bps for s in (uplink, downlink) if s.bandwidth_bps]
    return Shaping(bandwidth_bps=min(rates, default=0), delay_s=uplink.delay_s + downlink.delay_s,
                   jitter_s=max(uplink.jitter_s, downlink.jitter_s),
                   jitter_distribution=uplink.jitter_distribution if uplink.jitter_s >= downlink.jitter_s else downlink.jitter_distribution,
                   loss=round(1 - (1 - uplink.loss) * (1 - downlink.loss), 12), queue=uplink.queue)
