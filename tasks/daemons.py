"""Asking an instance's conductor and wires, through the agents of the hosts where they run."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from models.database import reading
from models.errors import NotFound
from models.instances import instance_by_id
from models.leases import Lease
from models.protocol.host import ChangeDaemon, DaemonName, DaemonStatus, Relay, Relayed
from models.tables import Host
from tasks.sessions import HostReference, session_with

Result = TypeVar("Result", bound=BaseModel)
ANSWER_S = 30.0


def home_of(instance_id: str) -> HostReference:
    """The host with the conductor. Raises NotFound if the instance is on none."""
    with reading() as session:
        instance = instance_by_id(session, instance_id)
        if instance.home_id is None:
            raise NotFound("the instance has no conductor: it is on no host", where=instance.name)
        return HostReference.of(session.get_one(Host, instance.home_id))


def ask_conductor(instance_id: str, operation: str, arguments: BaseModel, gives: type[Result], *, timeout_s: float = ANSWER_S) -> Result:
    """One request of `models.protocol.conductor`. Raises NotFound if it does not run."""
    return _ask(home_of(instance_id), instance_id, "conductor", operation, arguments, gives, timeout_s)


def ask_wires(host: HostReference, instance_id: str, operation: str, arguments: BaseModel, gives: type[Result], *,
              timeout_s: float = ANSWER_S) -> Result:
    """One request of `models.protocol.wires`, to those of one host. Raises NotFound if they do not run."""
    return _ask(host, instance_id, "wires", operation, arguments, gives, timeout_s)


def _ask(host: HostReference, instance_id: str, daemon: DaemonName, operation: str, arguments: BaseModel, gives: type[Result],
         timeout_s: float) -> Result:
    with session_with(host) as session:
        wanted = Relay(instance=instance_id, daemon=daemon, operation=operation, timeout_s=timeout_s,
                       arguments=arguments.model_dump(mode="json", exclude_defaults=True))
        return gives.model_validate(session.do("relay", wanted, Relayed).result)


def revive_conductor(instance_id: str, lease: Lease) -> None:
    """Have it run: one that was killed takes up its log where it stopped. Nothing if it runs."""
    with session_with(home_of(instance_id)) as session:
        session.do("start_daemon", ChangeDaemon(instance=instance_id, fence=lease.fence, daemon="conductor"), DaemonStatus)
