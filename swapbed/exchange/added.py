"""What an import brought that was not here: an import of what is here must not look like a fresh one."""

from __future__ import annotations

from pydantic import BaseModel

from swapbed.present.units import count


class Added(BaseModel):
    """Numbers of things. templates: those that had been deleted, too. notes: keys, with their history."""

    records: int = 0
    templates: int = 0
    checkpoints: int = 0
    notes: int = 0


def already_here(what: str, added: Added, subject: str, *, hidden: bool) -> str:
    """A sentence for people. what: was imported, a template or a record. subject: as `swapbed unhide` takes it."""
    pairs = (("template", added.templates), ("checkpoint", added.checkpoints), ("note", added.notes))
    came = ", ".join(count(number, name) for name, number in pairs if number)
    sentence = f"this {what} was here already; added: {came}" if came else f"nothing changed: this {what} was here already"
    return f"{sentence}. It is hidden: `swapbed unhide {subject}` shows it" if hidden else sentence
