"""Sessions with host agents: opened when first needed, kept while the flow lasts, each used by one thread at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from models.errors import Conflict, HostLost, SwapbedError
from models.protocol.control import Message
from models.tables import Host
from nodeops.forked_agent import ForkedAgent
from nodeops.session import Here, HostSession, OverSsh, Transport


class HostReference(Message):
    """What a task needs to know of a host."""

    id: str
    name: str
    address: str | None = None
    python: str | None = None

    @staticmethod
    def of(host: Host) -> HostReference:
        return HostReference(id=host.id, name=host.name, address=host.address, python=host.python)

    @property
    def reached(self) -> tuple[str | None, str | None]:
        """How; the same for all that sessions need not tell apart."""
        return self.address, self.python

    def transport(self) -> Transport:
        if self.address is None:
            return Here()
        return OverSsh(self.address, self.python) if self.python else OverSsh(self.address)


_idle: dict[tuple[str | None, str | None], list[HostSession]] = {}  # by how the host is reached
_busy: set[HostSession] = set()
_users = 0
_undoing: int | None = None  # the thread that is the only one to get sessions, once it has interrupted the others
_lock = threading.Lock()


@contextmanager
def session_with(host: HostReference) -> Iterator[HostSession]:
    """One that is idle, or a new one. Lost or interrupted, it is not used again.

    Raises Conflict in threads that `interrupt_others` has interrupted.
    """
    with _lock:
        if _undoing not in (None, threading.get_ident()):
            raise Conflict("the flow was interrupted, and is being undone", where=host.name)
        waiting = _idle.setdefault(host.reached, [])
        session = waiting.pop() if waiting else HostSession(host.transport())
        _busy.add(session)
    try:
        yield session
    except HostLost:
        with _lock:
            _busy.discard(session)
            lost = [session, *_idle.pop(host.reached, [])]  # the others are no better
        for each in lost:
            each.close()
        raise
    except SwapbedError:
        _keep(host, session)
        raise
    except BaseException:  # interrupted between a request and its answer, perhaps: the next request would be given that answer
        with _lock:
            _busy.discard(session)
        session.kill()
        session.close()
        raise
    else:
        _keep(host, session)


def expect(host: HostReference) -> None:
    """Begin a session that will be needed, while this process has one thread: here it is forked, elsewhere it imports itself meanwhile."""
    _keep(host, HostSession(host.transport(), ForkedAgent() if host.address is None else None))


def interrupt_others() -> None:
    """Whatever other threads (tasks of this flow) are doing on hosts ends now, and they begin nothing any more."""
    global _undoing
    with _lock:
        _undoing = threading.get_ident()
        for session in _busy:
            session.kill()


@contextmanager
def sessions_kept() -> Iterator[None]:
    """Within, sessions that are idle are used again; when the outermost of these contexts is left, they are closed."""
    global _users, _undoing
    with _lock:
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            last = _users == 0
            if _undoing == threading.get_ident():  # what it had to undo is undone
                _undoing = None
        if last:
            _close_idle()


def _close_idle() -> None:
    with _lock:
        sessions = [session for waiting in _idle.values() for session in waiting]
        _idle.clear()
    for session in sessions:
        session.close()


def _keep(host: HostReference, session: HostSession) -> None:
    with _lock:
        _busy.discard(session)
        _idle.setdefault(host.reached, []).append(session)
