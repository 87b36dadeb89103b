"""What all parts of a spec have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

BitRate = Annotated[int, Field(ge=0, description="bits per second; 0 means unlimited")]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Inconsistent(ValueError):
    """Parts of a spec that do not fit together. about: the names of the parts to blame, the most specific last, so that a
    language can point at their lines; a member is its LAN's name and then its node's."""

    def __init__(self, text: str, *about: str):
        super().__init__(text)
        self.about = about


class Part(BaseModel):
    """Base of everything in a spec: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
