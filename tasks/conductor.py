"""Asking an instance's conductor, through the agent of the host where it runs."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from models.database import reading
from models.errors import NotFound
from models.instances import instance_by_id
from models.leases import Lease
from models.protocol.host import ChangeDaemon, DaemonStatus, Relay, Relayed
from models.tables import Host
from tasks.sessions import HostReference, session_with

Result = TypeVar("Result", bound=BaseModel)
ANSWER_S = 30.0


def home_of(instance_id: str) -> HostReference:
    """The host with the conductor. Raises NotFound if the instance was never placed."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        if instance.home_id is None:
            raise NotFound("the instance has no conductor: it was never placed on a host", where=instance.name)
        return HostReference.of(session.get_one(Host, instance.home_id))


def ask(instance_id: str, operation: str, arguments: BaseModel, gives: type[Result], *, timeout_s: float = ANSWER_S) -> Result:
    """One request of `models.protocol.conductor`. Raises NotFound if it does not run."""
    with session_with(home_of(instance_id)) as session:
        wanted = Relay(instance=instance_id, daemon="conductor", operation=operation, timeout_s=timeout_s,
                       arguments=arguments.model_dump(mode="json", exclude_defaults=True))
        return gives.model_validate(session.do("relay", wanted, Relayed).result)


def revive(instance_id: str, lease: Lease) -> None:
    """Have it run: one that was killed takes up its log where it stopped. Nothing if it runs."""
    with session_with(home_of(instance_id)) as session:
        session.do("start_daemon", ChangeDaemon(instance=instance_id, fence=lease.fence, daemon="conductor"), DaemonStatus)
