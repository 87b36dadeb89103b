"""Links and LANs of an RSpec: interfaces and their references, properties, and delay nodes between two links.

A property is of the way from one interface to another: capacity in kbit/s, latency in ms, packet loss as a fraction. Here a
link or LAN shapes per member and direction, so each way's values are halved between the sender's uplink and the receiver's
downlink; where a LAN's pairs differ in ways that members cannot have, the worse counts, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from languages.addresses import DeclaredLan, DeclaredMember
from languages.draft import Draft
from languages.nearest import nearest
from languages.xml_tree import Element
from models.errors import InvalidInput
from models.shaping import halves, path
from models.spec import Shaping

Warn = Callable[[str, str, Element], None]
_LINK_TYPES = ("", "lan", "vlan", "ethernet")
_MEANINGLESS = {
    "component_manager": None, "link_multiplexing": None, "best_effort": None, "link_type": None, "property": None, "interface_ref": None,
    "vlan_tagging": "how the testbed carries links", "trivial_ok": None, "component_hop": None, "jacks": None, "site": None,
    "shared_vlan": "LANs shared between experiments", "openflow_controller": "OpenFlow switches", "jumbo_frames": "frames above 1500 bytes",
    "link_attribute": "the testbed's own attributes"}


@dataclass(frozen=True)
class _Interface:
    id: str
    node: str | None  # None: of a delay node
    element: Element
    addresses: tuple[str, ...] = ()


@dataclass
class _Net:
    """A link or LAN as found. ways: from one interface to another."""

    name: str
    element: Element
    ends: list[_Interface]
    ways: dict[tuple[str, str], Shaping] = field(default_factory=dict)


def add_links(draft: Draft, root: Element, nodes: Mapping[int, str], warn: Warn) -> None:
    """nodes: the names of the elements that are nodes, by identity; others are delay nodes."""
    _Links(draft, nodes, warn).add(root)


class _Links:
    def __init__(self, draft: Draft, nodes: Mapping[int, str], warn: Warn):
        self._draft, self._nodes, self._warn = draft, nodes, warn
        self._interfaces: dict[str, _Interface] = {}

    def add(self, root: Element) -> None:
        delays = [node for node in root.all("node") if id(node) not in self._nodes]
        for node in root.all("node"):
            self._read_interfaces(node)
        nets = [self._net(link) for link in root.all("link")]
        for delay in delays:
            nets = self._join(nets, delay)
        for net in nets:
            self._declare(net)
        linked = {end.id for net in nets for end in net.ends}
        for interface in self._interfaces.values():
            if interface.node is not None and interface.id not in linked:
                self._warn(f"interface '{interface.id}'", "it is in no link, so the node does not have it", interface.element)

    def _where(self, element: Element) -> str:
        return f"{self._draft.source}:{element.line}"

    def _read_interfaces(self, node: Element) -> None:
        for element in node.all("interface"):
            id_ = element.attributes.get("client_id", "")
            if id_ in self._interfaces:
                raise InvalidInput(f"interface '{id_}' is declared twice", where=self._where(element))
            addresses = tuple(self._address(ip) for ip in element.all("ip"))
            self._interfaces[id_] = _Interface(id_, self._nodes.get(id(node)), element, addresses)

    def _address(self, ip: Element) -> str:
        address, mask = ip.attributes.get("address", ""), ip.attributes.get("netmask", "")
        return f"{address}/{mask}" if mask else address

    def _net(self, link: Element) -> _Net:
        where = self._where(link)
        name = link.attributes.get("client_id", "")
        if not name:
            raise InvalidInput("a link has no client_id", where=where)
        ends = []
        for ref in link.all("interface_ref"):
            id_ = ref.attributes.get("client_id", "")
            if id_ not in self._interfaces:
                raise InvalidInput(
                    f"link '{name}' names unknown interface '{id_}'", where=self._where(ref), next=nearest(id_, self._interfaces)
                )
            ends.append(self._interfaces[id_])
        if len(ends) < 2:
            raise InvalidInput(f"link '{name}' has {len(ends)} interface{'s' * (len(ends) != 1)} instead of at least 2", where=where)
        net = _Net(name, link, ends)
        for element in link.all("property"):
            pair = tuple(self._end(net, element, which).id for which in ("source_id", "dest_id"))
            net.ways[pair[0], pair[1]] = self._shaping(element)
        self._complain(link)
        return net

    def _complain(self, link: Element) -> None:
        for child in link.children:
            reason = _MEANINGLESS.get(child.name, "it means nothing here")
            if child.name == "link_type" and child.attributes.get("name", "").lower() not in _LINK_TYPES:
                reason = f"tunnels and the like: '{child.attributes.get('name')}' is Ethernet here"
            if reason is not None:
                self._warn(child.name, reason, child)

    def _end(self, net: _Net, element: Element, which: str) -> _Interface:
        id_ = element.attributes.get(which, "")
        found = next((end for end in net.ends if end.id == id_), None)
        if found is None:
            raise InvalidInput(f"a property of link '{net.name}' has the {which} '{id_}', which is not one of its interfaces",
                               where=self._where(element), next=nearest(id_, [end.id for end in net.ends]))
        return found

    def _shaping(self, element: Element) -> Shaping:
        values: dict[str, Any] = {}
        for attribute, field_, factor, most in (
            ("capacity", "bandwidth_bps", 1000.0, 1e9),
            ("latency", "delay_s", 0.001, 1e9),
            ("packet_loss", "loss", 1.0, 1.0),
        ):
            text = element.attributes.get(attribute)
            if text:
                try:
                    number = float(text)
                except ValueError:
                    number = -1
                if not 0 <= number <= most:
                    raise InvalidInput(f"{attribute} '{text}' is not a number from 0 to {most:g}", where=self._where(element))
                values[field_] = round(number * factor, 12) if field_ != "bandwidth_bps" else int(number * factor)
        return Shaping(**values)

    def _join(self, nets: list[_Net], delay: Element) -> list[_Net]:
        """The two links of a delay node become one, shaped as its pipes say."""
        own = [self._interfaces[e.attributes.get("client_id", "")] for e in delay.all("interface")]
        name = delay.attributes.get("client_id", "")
        sides = [(net, end) for end in own for net in nets if end in net.ends]
        if len(own) != 2 or len(sides) != 2 or sides[0][0] is sides[1][0] or any(len(net.ends) != 2 for net, _ in sides):
            raise InvalidInput(f"delay node '{name}' does not stand between two links", where=self._where(delay),
                               next="Put the shaping into the links' own properties.")
        far = [next(end for end in net.ends if end is not own_end) for net, own_end in sides]
        joined = _Net(sides[0][0].name, sides[0][0].element, far)
        pipes = {(p.attributes.get("source"), p.attributes.get("dest")): self._shaping(p)
                 for sliver in delay.all("sliver_type") for shaping in sliver.all("sliver_type_shaping") for p in shaping.all("pipe")}
        for first, second in ((0, 1), (1, 0)):
            if (pipe := pipes.get((own[first].id, own[second].id))) is not None:
                joined.ways[far[first].id, far[second].id] = pipe
        self._warn(
            f"delay node '{name}'", f"'{sides[0][0].name}' and '{sides[1][0].name}' are one link here, which shapes by itself", delay
        )
        return [joined if net is sides[0][0] else net for net in nets if net is not sides[1][0]]

    def _declare(self, net: _Net) -> None:
        members = {end.id: DeclaredMember(end.node or "", addresses=end.addresses) for end in net.ends}
        for (source, target), way in net.ways.items():
            uplink, downlink = halves(way)
            members[source] = replace(members[source], uplink=_worse(members[source].uplink, uplink))
            members[target] = replace(members[target], downlink=_worse(members[target].downlink, downlink))
        differ = [pair for pair, way in net.ways.items() if not _same(path(members[pair[0]].uplink, members[pair[1]].downlink), way)]
        if differ:
            self._warn(f"properties of '{net.name}'", "its members shape each for itself, not each pair: the worse counts", net.element)
        if len(net.ends) == 2 and len(net.ways) == 1:
            self._warn(f"properties of '{net.name}'", "only one way has a property: the other is not shaped", net.element)
        name = net.name if not self._draft.taken(net.name) else f"{net.name}-link"
        if name != net.name:
            self._warn(f"client_id '{net.name}'", f"the link is '{name}' here, for a node has that name", net.element)
        self._draft.add_lan(DeclaredLan(name, tuple(members.values()), "lan" if len(net.ends) > 2 else "link"), self._where(net.element),
                            [self._where(end.element) for end in net.ends])


def _worse(known: Shaping, new: Shaping) -> Shaping:
    rates = [s.bandwidth_bps for s in (known, new) if s.bandwidth_bps]
    return Shaping(bandwidth_bps=min(rates, default=0), delay_s=max(known.delay_s, new.delay_s), loss=max(known.loss, new.loss))


def _same(a: Shaping, b: Shaping) -> bool:
    return a.bandwidth_bps == b.bandwidth_bps and abs(a.delay_s - b.delay_s) < 1e-9 and abs(a.loss - b.loss) < 1e-9
