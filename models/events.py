"""What can be told to whom: the verbs of every kind of target, their arguments, and which of them complete.

A verb that *completes* is one a sequence, group or timeline waits for (Emulab's COMPLETE notification); the others are
done when they have been delivered. `start` of a program, sequence or timeline returns at once, `run` waits for its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _check_environment(variables: dict[str, str]) -> dict[str, str]:
    for name, value in variables.items():
        if not name or "=" in name or "\0" in name + value:
            raise ValueError(f"'{name}' cannot be an environment variable: expected a name without '=', and no NUL in its value")
    return variables


Environment = Annotated[dict[str, str], AfterValidator(_check_environment)]


class Arguments(BaseModel):
    """Arguments of an event: only what was given is set, and each verb allows some of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # programs
    command: str | None = None
    directory: str | None = None
    timeout_s: Seconds | None = None
    expected_exit_code: int | None = Field(default=None, ge=0, le=255)
    environment: Environment | None = None
    tag: str | None = Field(default=None, description="names the invocation's logs")
    signal: str | None = Field(default=None, description="by name, with SIG or without, or number: TERM")
    # links and LANs: values of the whole link, as at its definition (each member's pipe gets its part), unless member is named
    member: str | None = Field(default=None, description="one node of the LAN: the values are then of that member's pipe itself")
    direction: Literal["uplink", "downlink"] | None = Field(default=None, description="None: both")
    bandwidth_bps: int | None = Field(default=None, ge=0)
    delay_s: Seconds | None = None
    jitter_s: Seconds | None = None
    jitter_distribution: Literal["uniform", "normal", "pareto"] | None = None
    loss: float | None = Field(default=None, ge=0, le=1)
    queue_limit: int | None = Field(default=None, gt=0)
    queue_unit: Literal["packets", "bytes"] | None = None
    red_min_threshold: float | None = Field(default=None, gt=0)
    red_max_threshold: float | None = Field(default=None, gt=0)
    red_weight: float | None = Field(default=None, gt=0, le=1)
    red_linear_term: float | None = Field(default=None, gt=0)
    # traffic
    packet_size_bytes: int | None = Field(default=None, ge=1, le=65507)
    rate_bps: int | None = Field(default=None, ge=0)
    interval_s: Seconds | None = None
    type_of_service: int | None = Field(default=None, ge=0, le=255)
    # instance
    text: str | None = None
    parameters: dict[str, str] | None = Field(default=None, description="of the run to start")
    environment_of_run: Literal["inherit", "fresh"] | None = None

    def given(self) -> set[str]:
        return {name for name in type(self).model_fields if getattr(self, name) is not None}


@dataclass(frozen=True)
class Verb:
    """completes: a waiter waits for it. allows, requires: names of fields of `Arguments`."""

    completes: bool = False
    allows: frozenset[str] = field(default_factory=frozenset)
    requires: frozenset[str] = field(default_factory=frozenset)

    def check(self, arguments: Arguments, where: str) -> None:
        given = arguments.given()
        if missing := self.requires - given:
            raise ValueError(f"{where}: lacks {', '.join(sorted(missing))}")
        if extra := given - self.allows - self.requires:
            allowed = ", ".join(sorted(self.allows | self.requires)) or "no arguments"
            raise ValueError(f"{where}: does not take {', '.join(sorted(extra))} (it takes: {allowed})")


_PROGRAM = frozenset({"command", "directory", "timeout_s", "expected_exit_code", "environment", "tag"})
_LINK = frozenset({"member", "direction", "bandwidth_bps", "delay_s", "jitter_s", "jitter_distribution", "loss", "queue_limit",
                   "queue_unit", "red_min_threshold", "red_max_threshold", "red_weight", "red_linear_term"})
_TRACE = frozenset({"member"})
_TRAFFIC = frozenset({"packet_size_bytes", "rate_bps", "interval_s", "type_of_service"})

VERBS: dict[str, dict[str, Verb]] = {
    "program": {"start": Verb(allows=_PROGRAM), "run": Verb(completes=True, allows=_PROGRAM), "stop": Verb(),
                "kill": Verb(requires=frozenset({"signal"})), "set": Verb(allows=_PROGRAM)},
    "traffic": {"start": Verb(), "stop": Verb(), "modify": Verb(allows=_TRAFFIC), "reset": Verb(completes=True)},
    "lan": {"up": Verb(allows=frozenset({"member"})), "down": Verb(allows=frozenset({"member"})), "modify": Verb(allows=_LINK),
            "reset": Verb(completes=True), "trace-start": Verb(allows=_TRACE), "trace-stop": Verb(allows=_TRACE),
            "trace-snapshot": Verb(completes=True, allows=_TRACE)},
    "node": {"reboot": Verb(completes=True), "snapshot": Verb(completes=True, allows=frozenset({"text"})), "stop": Verb()},
    "sequence": {"start": Verb(), "run": Verb(completes=True)},
    "timeline": {"start": Verb(), "run": Verb(completes=True)},
    "instance": {"terminate": Verb(), "swapout": Verb(), "stop-run": Verb(),
                 "start-run": Verb(allows=frozenset({"parameters", "environment_of_run"})),
                 "snapshot": Verb(completes=True), "report": Verb(completes=True), "clean-logs": Verb(completes=True),
                 "log": Verb(completes=True, requires=frozenset({"text"})), "message": Verb(completes=True, requires=frozenset({"text"}))},
}
