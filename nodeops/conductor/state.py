"""All that the machine knows: mutable while it runs, JSON when it is saved."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from models.events import Arguments
from models.protocol.conductor import EnvironmentOfRun, Failure, Outcome, Phase, Recording
from models.spec import Event
from nodeops.conductor.happenings import AnyOrder

Alarm = Literal["timeline", "run", "send", "timeout", "kill", "procedure", "patience", "abandon"]


class Known(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Activity(Known):
    """An event that was fired and has not completed.

    told: the activity that is told when it completes. cause: the one it stands in. step: of a sequence or timeline, which comes next.
    open: of a group, how many members have not completed. last: of a timeline, token of its last entry. order: of a timeline, its
    rank among alarms of one instant. recovering: of a sequence, its `on_error` is running. swapout: the events before a swapout.
    """

    token: int
    target: str
    verb: str
    arguments: Arguments
    origin: str
    cause: int | None = None
    told: int | None = None
    planned_ns: int
    fired_ns: int
    step: int = 0
    open: int = 0
    last: int | None = None
    order: int = 0
    recovering: bool = False
    swapout: bool = False
    worst: Outcome = Outcome()


class Invocation(Known):
    """A program that was started and of which something may be left. waited: an activity completes with it.

    expected: exit code; None: any. stopping: it was told to end; how it does is no failure.
    """

    name: str
    agent: str
    node: str
    token: int
    log: str
    tag: str | None = None
    waited: bool = False
    expected: int | None = None
    exited_ns: int | None = None
    stopping: bool = False
    timed_out: bool = False
    traffic: bool = False


class Agent(Known):
    """overrides: what `set` or `modify` changed since the run began. count: invocations in this run. invocations: those not gone."""

    overrides: Arguments = Arguments()
    count: int = 0
    invocations: list[str] = []


class Coming(Known):
    """A sent event that is not due yet."""

    event: Event
    origin: str
    due_ns: int


class Run(Known):
    """See `models.protocol.conductor.RunInfo`. hook: token of on_start or on_stop. step: the timeline's next entry. rotating: nodes whose
    files are still being put away; None before that. quiet, idle: the controller has been told so. verdict: of what the run ends, once the
    procedures (tokens) are done."""

    number: int
    phase: Phase
    environment_of_run: EnvironmentOfRun
    parameters: dict[str, str]
    environment: dict[str, str]
    began_ns: int
    began_at: datetime
    zero_ns: int | None = None
    ended_ns: int | None = None
    ended_at: datetime | None = None
    reason: str = ""
    hook: int | None = None
    step: int = 0
    never_fired: int = 0
    rotating: int | None = None
    quiet: bool = False
    idle: bool = False
    failures: list[Failure] = []
    failed: int = 0
    verdict: str = ""
    procedures: list[int] = []


class State(Known):
    """alarms: a heap of (due_ns, order, what, key). busy: sequence, timeline or group → token of what is in progress there.
    outstanding: orders not done yet. petitions: node → number of the last request from inside it that was taken up.
    incarnations: node → which boot of it."""

    next_line: int = 0
    next_message: int = 0
    next_token: int = 1
    next_order: int = 1
    next_alarm: int = 1
    run: Run | None = None
    activities: dict[int, Activity] = {}
    invocations: dict[str, Invocation] = {}
    agents: dict[str, Agent] = {}
    coming: dict[int, Coming] = {}
    busy: dict[str, int] = {}
    alarms: list[tuple[int, int, Alarm, str]] = []
    outstanding: dict[int, AnyOrder] = {}
    petitions: dict[str, int] = {}
    incarnations: dict[str, int] = {}
    dead: set[str] = set()
    halted: set[str] = set()
    wires_dead: bool = False
    recordings: list[Recording] = []
