"""The verbs on hosts: which machines nodes may be placed on, how they are reached, how much of them may be promised."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlmodel import Session, col, func, select

from models.database import reading, writing
from models.errors import InvalidInput
from models.hosts import find_host, known_hosts
from models.names import LABEL
from models.protocol.control import Message
from models.states import HostState
from models.tables import Host, Placement
from swapbed.privilege import require_root
from tasks.inventory import Inventory, InventoryHost, apply_inventory, take


class KnownHost(Message):
    """address: SSH destination; None: this machine. nodes: that are placed there. limits: what it may carry; None: without."""

    id: str
    name: str
    address: str | None
    python: str | None
    state: str
    nodes: int
    nodes_limit: int | None
    cpus_limit: float | None
    memory_limit_bytes: int | None


def hosts() -> list[KnownHost]:
    """By name; this machine alone, where nobody has named any."""
    return _shown(known_hosts)


def add(name: str, *, address: str | None = None, python: str | None = None, nodes: int | None = None, cpus: float | None = None,
        memory: str | None = None) -> KnownHost:
    """One more, or another description of one that is known. address: as for ssh; None: this machine. memory: as `240GiB`."""
    if not LABEL.fullmatch(name):
        raise InvalidInput(f"host name '{name}' is not a DNS label (letters, digits, '-', at most 63, no '-' at the ends)")
    try:
        described = InventoryHost.model_validate({"address": address, "python": python, "nodes": nodes, "cpus": cpus, "memory": memory})
    except ValueError as error:
        raise InvalidInput(f"this is no description of a host: {error.errors()[0]['msg']}", where=name) from error  # type: ignore[attr-defined]

    def change(session: Session) -> list[Host]:
        known = {host.name: host for host in known_hosts(session)}
        host = known.get(name) or Host(name=name)
        take(host, described)
        session.add(host)
        return [host]

    return _shown(change)[0]


def drain(name: str) -> KnownHost:
    """It keeps what it has, and gets nothing new."""
    return _set(name, HostState.DRAINED)


def undrain(name: str) -> KnownHost:
    return _set(name, HostState.UP)


def apply(path: Path) -> list[KnownHost]:
    """What a file says (deployments/hosts.toml) is so from now on; hosts that it does not name are drained."""
    inventory = Inventory.read(path)
    return _shown(lambda session: apply_inventory(session, inventory))


def _set(name: str, state: HostState) -> KnownHost:
    def change(session: Session) -> list[Host]:
        host = find_host(session, name)
        host.state = state
        return [host]

    return _shown(change)[0]


def _shown(chosen: Callable[[Session], list[Host]]) -> list[KnownHost]:
    require_root()
    with writing() as session:
        found = chosen(session)
    with reading() as session:
        counted = dict(session.exec(select(Placement.host_id, func.count()).group_by(col(Placement.host_id))).all())
    return [KnownHost(id=host.id, name=host.name, address=host.address, python=host.python, state=host.state, nodes=counted.get(host.id, 0),
                      nodes_limit=host.nodes, cpus_limit=host.cpus, memory_limit_bytes=host.memory_bytes) for host in found]
