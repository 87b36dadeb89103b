"""Why a program is not accepted."""

from __future__ import annotations

from collections.abc import Iterable


class Refused(Exception):
    """what: one sentence. next: what the author can do. line: of the program, if not the one being evaluated.

    catchable: an error of Tcl's kind, which the program's own `catch` makes good.
    """

    def __init__(self, what: str, next: str | None = None, line: int | None = None, catchable: bool = False):
        super().__init__(what)
        self.what, self.next, self.line, self.catchable = what, next, line, catchable


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint at the nearest known word."""
    import difflib  # only errors pay for it

    names = sorted(known)
    close = difflib.get_close_matches(word, names, 1, 0.5) or [n for n in names if n.lower() == word.lower()]
    if close:
        return f"Did you mean '{close[0]}'?"
    return f"Known are: {', '.join(names[:20])}{', …' if len(names) > 20 else ''}." if names else None
