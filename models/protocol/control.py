"""The frame of every local control protocol: one JSON object a line, requests numbered by the caller.

A service (host agent, wires, conductor) answers each `Request` with any number of `Progress` and exactly one `Reply`.
What an operation takes and gives is a pydantic model, named in that service's table of operations.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Base of all that crosses a process: frozen, unknown keys are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Nothing(Message):
    """The empty argument or result."""


class Request(Message):
    kind: Literal["request"] = "request"
    id: int
    operation: str
    arguments: dict[str, Any] = {}


class Progress(Message):
    """done of total units of work named by text; total 0 means unknown."""

    kind: Literal["progress"] = "progress"
    id: int
    text: str
    done: int = 0
    total: int = 0


class Reply(Message):
    """Either result or error (`SwapbedError.as_json`)."""

    kind: Literal["reply"] = "reply"
    id: int
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class Operation(Message):
    """One row of a service's table."""

    takes: type[BaseModel]
    gives: type[BaseModel]
