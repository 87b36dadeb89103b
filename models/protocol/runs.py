"""What a host is asked at a run's two ends: to make the environment it is to find, and to keep what it left."""

from __future__ import annotations

from pydantic import Field

from models.protocol.control import Message
from models.spec import Shaping

RUN_ID = r"^[a-z0-9][a-z0-9-]{0,60}$"  # also the name of a directory


class PrepareRun(Message):
    """Before run `number` begins. fresh: nodes find the files they had after instantiation; what runs in them is killed.

    Without it they find everything as it is; logs were rotated away when the run before was kept.
    """

    instance: str
    fence: int = 0
    run: str = Field(pattern=RUN_ID)
    number: int = Field(ge=1)
    fresh: bool = False


class KeepRun(Message):
    """After run `number` ended and before anything else is begun: put aside what belongs to its record. Done once only."""

    instance: str
    fence: int = 0
    run: str = Field(pattern=RUN_ID)
    number: int = Field(ge=1)


class KeptRun(Message):
    """files: regular files put aside. copied_bytes: of those that stay in place, as what `collect` names; logs were moved.

    left_out: what no record can hold, or that could not be read, each with its reason.
    """

    files: int = 0
    copied_bytes: int = 0
    left_out: tuple[str, ...] = ()


class ForgetRun(Message):
    """Its record is in the store."""

    run: str = Field(pattern=RUN_ID)


class LinkOfRun(Message):
    """One pipe during one run: as the spec asks, as it was shaped at the end, and what it did; frames counted from the run's beginning.

    late_*: actual minus planned departure. achieved_bps: None if it was never full.
    """

    lan: str
    node: str
    interface: str
    direction: str
    requested: Shaping
    shaping: Shaping
    up: bool
    in_frames: int
    out_frames: int
    out_bytes: int
    dropped_queue: int
    dropped_red: int
    dropped_loss: int
    dropped_down: int
    late_mean_ns: int | None = None
    late_p50_ns: int | None = None
    late_p99_ns: int | None = None
    late_worst_ns: int | None = None
    achieved_bps: int | None = None
    missed_frames: int = 0
    refused_frames: int = 0


class Links(Message):
    """links.json of a record: the pipes of one host."""

    links: tuple[LinkOfRun, ...] = ()


class Surroundings(Message):
    """What a run's outcome may depend on besides the experiment: one host. packages: of the base `host`, a digest of all, some by name."""

    kernel: str
    machine: str
    cpu: str
    cpus: int
    memory_bytes: int
    system: str
    packages_digest: str
    packages: dict[str, str] = {}
    python: str
    swapbed: str
    images: dict[str, str] = {}
    nodes: tuple[str, ...] = ()
