"""What a command says to the controller's socket: run this flow for these ids, and tell me how it goes.

The reply comes when the flow has ended, with Progress before it. `cancel`, sent on the same connection meanwhile, interrupts the
flow; a connection that merely breaks does not.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from models.protocol.control import Message, Nothing, Operation

CANCEL = "cancel"
Identifier = Annotated[str, Field(pattern=r"^[a-z]+-[a-z2-7]{10}$")]


class Launch(Message):
    """flow: a name in `flows.FLOWS`. ids: its parameters."""

    flow: str
    ids: dict[str, Identifier] = {}


class Launched(Message):
    """What the flow returned."""

    result: dict[str, str | int | float | bool | None] = {}


OPERATIONS = {"launch": Operation(takes=Launch, gives=Launched), CANCEL: Operation(takes=Nothing, gives=Nothing)}
