"""What hosts can and cannot do, and what crashes left on them."""

from __future__ import annotations

from sqlmodel import select

from models.database import reading
from models.errors import HostLost
from models.protocol.control import Message, Nothing
from models.protocol.host import Check, DoctorReport, Instances, Reap, Reaped
from models.tables import Host, Instance
from nodeops.session import Here, HostSession, Transport
from swapbed.privilege import require_root
from tasks.sessions import HostReference

UNREACHED_NEXT = "Let root reach it by ssh without being asked anything, and install Swapbed there; `swapbed host add` says where"


class Examined(Message):
    """orphans: instances that are on the host although no row of the database says so, or half made, or half destroyed."""

    host: str
    checks: tuple[Check, ...]
    orphans: tuple[str, ...]
    reaped: tuple[str, ...] = ()


def examine(*, reap: bool = False) -> list[Examined]:
    """Every host that is known; this one, where none is. reap: destroy the orphans."""
    require_root()
    with reading() as session:
        transports: list[Transport] = [HostReference.of(host).transport() for host in session.exec(select(Host).order_by(Host.name))]
        living = {row.id for row in session.exec(select(Instance)) if row.ended_at is None}
    return [_one(transport, living, reap) for transport in transports or [Here()]]


def _one(transport: Transport, living: set[str], reap: bool) -> Examined:
    with HostSession(transport) as host:
        try:
            report = host.do("doctor", Nothing(), DoctorReport)
        except HostLost as error:
            lost = Check(name="reached", status="fail", what=error.what, next=UNREACHED_NEXT)
            return Examined(host=transport.name, checks=(lost,), orphans=())
        orphans = tuple(sorted(one.instance for one in host.do("instances", Nothing(), Instances).instances
                               if one.instance not in living or one.state == "destroying"))
        reaped = host.do("reap", Reap(instances=orphans), Reaped).instances if reap and orphans else ()
    return Examined(host=transport.name, checks=report.checks, orphans=orphans, reaped=reaped)
