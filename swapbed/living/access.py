"""A living instance as it is reached: which host each node is on, and sessions with those hosts' agents, opened when first needed.

An instance that is wholly on this host is found by its record in the state directory, without the database, so that `exec` or
`link set` cost no more than they must.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from languages.nearest import nearest
from models.errors import Conflict, NotFound, SwapbedError
from models.protocol.conductor import RunInfo, Runs
from models.protocol.control import Nothing
from models.protocol.host import DaemonName, Relay, Relayed
from models.settings import settings
from models.spec import Lan, Spec
from nodeops.control import ControlClient
from nodeops.instance import instances_here, layout_of, read_record, read_spec
from nodeops.session import Here, HostSession, Transport
from swapbed.privilege import require_root

Result = TypeVar("Result", bound=BaseModel)
RUN_ANSWER_S = 5.0


@dataclass(frozen=True)
class Whereabouts:
    """home: the conductor's host. nodes: node → its host."""

    instance_id: str
    name: str
    spec: Spec
    home: Transport
    nodes: Mapping[str, Transport]


def whereabouts(name: str) -> Whereabouts:
    """Of a living instance, by name or id. Raises NotFound, or Conflict if it is on no host now."""
    require_root()
    return _wholly_here(name) or _by_the_database(name)


def _wholly_here(name: str) -> Whereabouts | None:
    here = Here()
    for instance in instances_here():
        layout = layout_of(instance)
        record = read_record(layout)
        if record is None or name not in (record.name, record.instance) or record.project != settings().project:
            continue
        spec = read_spec(layout)
        if record.state == "ready" and set(record.nodes) == {node.name for node in spec.nodes} and "conductor" in record.daemons:
            return Whereabouts(record.instance, record.name, spec, here, dict.fromkeys(record.nodes, here))
    return None


def _by_the_database(name: str) -> Whereabouts:
    from models.database import reading
    from models.instances import placements
    from models.tables import Host
    from swapbed.lifecycle import find
    from tasks.sessions import HostReference

    known = find(name)
    with reading() as session:
        def transport(host_id: str) -> Transport:
            return HostReference.of(session.get_one(Host, host_id)).transport()

        nodes = {place.node: transport(place.host_id) for place in placements(session, known.row.id)}
        if known.row.home_id is None or known.row.ended_at is not None or len(nodes) < len(known.spec.nodes):
            raise Conflict(f"the instance is {known.row.state}, and on no host", where=name)
        return Whereabouts(known.row.id, known.row.name, known.spec, transport(known.row.home_id), nodes)


class Access:
    """Not for several threads. Close it, or use it in a `with`."""

    def __init__(self, where: Whereabouts):
        self.where = where
        self._sessions: dict[str, HostSession] = {}

    @staticmethod
    def to(name: str) -> Access:
        return Access(whereabouts(name))

    @property
    def instance_id(self) -> str:
        return self.where.instance_id

    @property
    def spec(self) -> Spec:
        return self.where.spec

    def session(self, transport: Transport) -> HostSession:
        if transport.name not in self._sessions:
            self._sessions[transport.name] = HostSession(transport)
        return self._sessions[transport.name]

    def host_of(self, node: str) -> HostSession:
        return self.session(self.where.nodes[self.node(node)])

    def hosts(self) -> list[HostSession]:
        """Each once, the conductor's first."""
        return [self.session(t) for t in {t.name: t for t in (self.where.home, *self.where.nodes.values())}.values()]

    def node(self, name: str) -> str:
        """The name, if there is such a node."""
        return _one_of(name, (node.name for node in self.spec.nodes), "node", self.where.name)

    def lan(self, name: str) -> Lan:
        lans = {lan.name: lan for lan in self.spec.lans}
        return lans[_one_of(name, lans, "link or LAN", self.where.name)]

    def conductor(self, operation: str, arguments: BaseModel, gives: type[Result], *, timeout_s: float = 30) -> Result:
        """An operation of `models.protocol.conductor`."""
        return self.relay(self.session(self.where.home), "conductor", operation, arguments, gives, timeout_s=timeout_s)

    def run(self) -> RunInfo | None:
        """The run that goes on, or the last one; None before the first, or if the conductor does not answer. Here it is asked without an
        agent, which would take longer to begin than a program that is run by hand."""
        try:
            if not isinstance(self.where.home, Here) or self.where.home.environment:
                return self.conductor("run", Nothing(), Runs, timeout_s=RUN_ANSWER_S).current
            with ControlClient(layout_of(self.instance_id).daemon("conductor", "sock"), {}, timeout_s=RUN_ANSWER_S) as conductor:
                return Runs.model_validate(conductor.call_raw("run", {})).current
        except SwapbedError:
            return None

    def wires(self, operation: str, arguments: BaseModel, gives: type[Result]) -> list[Result]:
        """An operation of `models.protocol.wires`, on every host of the instance."""
        return [self.relay(host, "wires", operation, arguments, gives) for host in self.hosts()]

    def relay(self, host: HostSession, daemon: DaemonName, operation: str, arguments: BaseModel, gives: type[Result], *,
              timeout_s: float = 30) -> Result:
        asked = Relay(instance=self.instance_id, daemon=daemon, operation=operation, timeout_s=timeout_s,
                      arguments=arguments.model_dump(mode="json", exclude_defaults=True))
        return gives.model_validate(host.do("relay", asked, Relayed).result)

    def close(self) -> None:
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()

    def __enter__(self) -> Access:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _one_of(name: str, names: Iterable[str], what: str, where: str) -> str:
    every = list(names)
    if name in every:
        return name
    raise NotFound(f"there is no {what} '{name}'", where=where, next=nearest(name, every))
