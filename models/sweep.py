"""A sweep: one template under every combination of some parameters' values, each a number of times. What is to be run, and what came of it.

Its id is a hash of what it consists of, so that the same sweep asked for again is found, and can be resumed.
"""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping, Sequence

from blake3 import blake3
from pydantic import BaseModel, ConfigDict

from models.errors import InvalidInput

POINTS_LIMIT = 10_000
RANGE = re.compile(r"(-?\d+)\.\.(-?\d+)(?:\.\.(\d+))?")


class Point(BaseModel):
    """One run. group: of those that can share an instance. outcome: the run's, `error` if it never came to one; None: still to be run."""

    model_config = ConfigDict(extra="forbid")

    number: int
    repeat: int
    parameters: dict[str, str]
    group: int
    outcome: str | None = None
    error: str | None = None
    run_id: str | None = None
    record_id: str | None = None
    results: dict[str, str] = {}
    overhead_s: float | None = None


class Sweep(BaseModel):
    """groups: ids of specs that differ in more than parameters' values; a group's points are runs of one instance, or of a few at once.
    instances: ids of those that were made for it and are to be destroyed."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: str
    project: str
    template_id: str
    created_by: str
    parallel: int = 1
    limit_s: float | None = None
    environment_of_run: str | None = None
    groups: list[str]
    points: list[Point]
    instances: list[str] = []

    def interrupted(self) -> list[Point]:
        """Points whose run was defined, but not seen to its end and its record."""
        return [point for point in self.points if point.run_id and not point.record_id and point.outcome != "error"]

    def shards(self) -> list[list[Point]]:
        """Points still to be run, as lists that one instance each goes through; as many as may go on at once, or more."""
        waiting = [[point for point in self.points if point.group == group and point.outcome is None] for group in range(len(self.groups))]
        waiting = [points for points in waiting if points]
        each = -(-self.parallel // len(waiting)) if waiting else 1
        return [shard for points in waiting for shard in (points[start::each] for start in range(each)) if shard]

    def varied_in(self, spec_id: str) -> list[str]:
        """Parameters of which an instance of that spec sees several values."""
        return varied([point.parameters for point in self.points if self.groups[point.group] == spec_id])


def varied(several: Sequence[Mapping[str, str]]) -> list[str]:
    """Names that have different values in several sets of parameters."""
    names = dict.fromkeys(name for one in several for name in one)
    return [name for name in names if len({one[name] for one in several if name in one}) > 1]


def sweep_id(template_digest: str, points: Sequence[Mapping[str, str]], repeats: int) -> str:
    text = repr((template_digest, [sorted(point.items()) for point in points], repeats))
    return f"w-{base64.b32encode(blake3(text.encode()).digest()).decode().lower()[:10]}"


def combinations(grid: Mapping[str, Sequence[str]], repeats: int) -> list[dict[str, str]]:
    """Every combination of values, the last parameter varying fastest. Raises InvalidInput for an empty grid, or one out of all measure."""
    if not grid:
        raise InvalidInput("a sweep needs at least one parameter with values", next="Write it like DELAY=5ms,10ms or FLOWS=1..4")
    for name, values in grid.items():
        if not values:
            raise InvalidInput("there are no values to try", where=name)
        if len(set(values)) < len(values):
            raise InvalidInput("a value is given twice", where=name, next="For several runs of each point use --repeat")
    if repeats < 1:
        raise InvalidInput(f"{repeats} runs of each point are none", where="repeat")
    count = repeats
    for values in grid.values():
        count *= len(values)
    if count > POINTS_LIMIT:
        raise InvalidInput(f"{count} runs are too many for one sweep (at most {POINTS_LIMIT})", next="Sweep a part of the grid at a time")
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def values_of(text: str) -> list[str]:
    """`5ms,10ms` and `1..4` (or `0..100..25`: in steps), also mixed."""
    values: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if found := RANGE.fullmatch(part):
            first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
            if last < first or step < 1 or (last - first) // step >= POINTS_LIMIT:
                raise InvalidInput(f"'{part}' is no range of at most {POINTS_LIMIT} numbers", next="Write it like 1..4, or 0..100..25")
            values += map(str, range(first, last + 1, step))
        elif part:
            values.append(part)
    return values
