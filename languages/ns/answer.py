"""What the child process answers."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Failure(Message):
    what: str
    next: str | None = None
    line: int | None = None


class Parameter(Message):
    name: str
    default: str
    value: str
    description: str
    line: int


class Declared(Message):
    """Parts in the words of `models.spec`, each with its `line`; see `declare`."""

    parameters: list[Parameter]
    environment: dict[str, str]
    sync_server: str | None
    nodes: list[dict[str, Any]]
    lans: list[dict[str, Any]]
    lan_names: list[list[str]]
    agents: list[dict[str, Any]]
    groups: list[dict[str, Any]]
    sequences: list[dict[str, Any]]
    timelines: list[dict[str, Any]]
    events: list[dict[str, Any]]


class Answer(Message):
    """Either `declared` or `error` or `missing` (a Python module)."""

    declared: Declared | None = None
    error: Failure | None = None
    missing: str | None = None
    warnings: list[tuple[int, str]] = []
    output: list[tuple[int, str]] = []
