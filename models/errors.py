"""Every error that Swapbed raises on purpose, with its exit code and HTTP status in one place.

An error says *what* is wrong, *where* (a file and line, an instance, a host, a chunk) and what to do *next*.
Subclass only where a caller would act differently; otherwise raise the nearest class with a better sentence.
"""

from __future__ import annotations

from typing import ClassVar


class SwapbedError(Exception):
    """Something failed that Swapbed can name.

    what: one sentence, no trailing full stop. where: the thing it is about. next: what the user can do.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, what: str, *, where: str | None = None, next: str | None = None):
        super().__init__(what)
        self.what, self.where, self.next = what, where, next

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}. {self.next}" if self.next else text

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.where, self.next)

    def as_json(self) -> dict[str, str | int | None]:
        """What `--format json` prints and what crosses a process boundary."""
        return {"error": type(self).__name__, "what": self.what, "where": self.where, "next": self.next,
                "exit_code": self.exit_code}

    @staticmethod
    def from_json(data: dict) -> SwapbedError:
        """The inverse of `as_json`; an unknown class name becomes a plain SwapbedError."""
        kind = next((c for c in _family(SwapbedError) if c.__name__ == data.get("error")), SwapbedError)
        return _rebuild(kind, data.get("what") or "unknown error", data.get("where"), data.get("next"))


def _rebuild(kind: type[SwapbedError], what: str, where: str | None, next: str | None) -> SwapbedError:
    error = kind.__new__(kind)
    SwapbedError.__init__(error, what, where=where, next=next)
    return error


def _family(root: type[SwapbedError]):
    yield root
    for child in root.__subclasses__():
        yield from _family(child)


class InvalidInput(SwapbedError):
    """A file, argument or value the user gave is not acceptable; `where` is `FILE:LINE` where there is a file."""

    exit_code, http_status = 3, 422


class NotFound(SwapbedError):
    """No template, instance, run, record, node, link, chunk … of that name."""

    exit_code, http_status = 4, 404


class Conflict(SwapbedError):
    """The thing is in a state that does not allow this, is taken, or somebody else holds its lease."""

    exit_code, http_status = 5, 409


class Busy(Conflict):
    """Somebody else is at work on it: in a moment it may go."""


class HostProblem(SwapbedError):
    """A host lacks something: a tool, a right, a kernel feature, disk space, file descriptors."""

    exit_code, http_status = 6, 503


class HostLost(HostProblem):
    """A host or its agent went away in the middle of something; all that is asked of it may be asked again."""


class StoreProblem(SwapbedError):
    """The object store or database is unreachable, full or refuses us."""

    exit_code, http_status = 7, 503


class StoreUnavailable(StoreProblem):
    """The object store did not answer, broke the connection, or asked to slow down: trying again may help."""


class Corrupt(SwapbedError):
    """Stored bytes do not match their hash, or a chunk is missing; `where` names it and what needs it."""

    exit_code, http_status = 8, 500


class NotWhole(Corrupt):
    """What a host had captured, and nobody has stored yet, need not be what it was: the host was restarted."""


class Denied(SwapbedError):
    """A token is expired, foreign, replayed or forged, or does not cover this operation."""

    exit_code, http_status = 9, 403


class TimedOut(SwapbedError):
    """Something did not answer in its time."""

    exit_code, http_status = 10, 504


class ExperimentFailed(SwapbedError):
    """Swapbed did its part; the experiment's own programs or nodes failed."""

    exit_code, http_status = 11, 200
