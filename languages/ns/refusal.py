"""Why a program is not accepted."""

from __future__ import annotations

from collections.abc import Iterable

from languages.nearest import nearest

OUT_OF_MEMORY = 77  # exit code of the child process


class Refused(Exception):
    """what: one sentence. next: what the author can do. line: of the program, if not the one being evaluated.

    catchable: an error of Tcl's kind, which the program's own `catch` makes good.
    """

    def __init__(self, what: str, next: str | None = None, line: int | None = None, catchable: bool = False):
        super().__init__(what)
        self.what, self.next, self.line, self.catchable = what, next, line, catchable


def did_you_mean(word: str, known: Iterable[str]) -> str | None:
    """A hint at the nearest known word."""
    return nearest(word, sorted(known))
