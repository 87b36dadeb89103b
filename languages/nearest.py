"""What may have been meant by a name that is not known: the `next` of an error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_SHOWN = 12


def nearest(name: str, known: Iterable[str]) -> str | None:
    """A sentence with the nearest known name, or the known ones, or nothing if there are none."""
    names = list(known)
    close = [n for n in names if n.lower() == name.lower()] or difflib.get_close_matches(name, names, 1)
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known are: {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}." if names else None
