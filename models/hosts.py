"""The rows of hosts: all that are known, and one by its name."""

from __future__ import annotations

import socket

from sqlmodel import Session, select

from models.errors import NotFound
from models.tables import Host


def known_hosts(session: Session) -> list[Host]:
    """By name; this machine, if nobody has named any."""
    known = list(session.exec(select(Host).order_by(Host.name)))
    if not known:
        known = [Host(name=socket.gethostname())]
        session.add_all(known)
        session.flush()
    return known


def find_host(session: Session, text: str) -> Host:
    """By name or id. Raises NotFound, with the names that there are."""
    known = known_hosts(session)
    for host in known:
        if text in (host.name, host.id):
            return host
    raise NotFound("there is no such host", where=text, next=f"There are: {', '.join(host.name for host in known)}")
