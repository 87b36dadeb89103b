"""Where nodes stand in links and LANs, with addresses: what Emulab's routes and traffic agents are made of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from models.spec import Lan, Member, Route


class Ports:
    """Of LANs that have their addresses."""

    def __init__(self, lans: Iterable[Lan]):
        self._lans = {lan.name: lan for lan in lans}
        self._ports: dict[str, list[tuple[Lan, Member]]] = {}
        for lan in self._lans.values():
            for member in lan.members:
                self._ports.setdefault(member.node, []).append((lan, member))

    def first(self, node: str) -> str:
        """The address of its first interface, which Emulab's traffic agents use."""
        return _ip(self._ports[node][0][1])

    def of_node(self, node: str) -> str:
        """The destination of a route to a node."""
        return f"{self.first(node)}/32"

    def of_lan(self, name: str) -> str:
        """The destination of a route to a link or LAN."""
        return str(ipaddress.ip_interface(self._lans[name].members[0].addresses[0]).network)

    def hop(self, node: str, hop: str) -> str | None:
        """The hop's address on the last link between the two, else on the first LAN they share."""
        shared = [(lan, member) for lan, member in self._ports.get(hop, ()) if any(m.node == node for m in lan.members)]
        links = [member for lan, member in shared if lan.kind == "link"]
        if links:
            return _ip(links[-1])
        first = next((lan for lan, _ in self._ports.get(node, ()) if any(m.node == hop for m in lan.members)), None)
        return next((_ip(member) for lan, member in shared if lan is first), None)

    def words(self, node: str, route: Route) -> tuple[str, str] | None:
        """What `$node add-route` must name for this route: its destination, a node or LAN, and the next hop."""
        owners = {_ip(member): name for name, places in self._ports.items() for _, member in places if member.addresses}
        hop = owners.get(route.via)
        if hop is None or self.hop(node, hop) != route.via:
            return None
        single = [name for name, places in self._ports.items() if len(places) == 1 and self.of_node(name) == route.destination]
        return next(((name, hop) for name in (*single, *(n for n in self._lans if self.of_lan(n) == route.destination))), None)


def _ip(member: Member) -> str:
    return str(ipaddress.ip_interface(member.addresses[0]).ip)
