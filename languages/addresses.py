"""Interfaces, MAC and IP addresses of what a source declares, the same in every language: declared LANs in, spec LANs out.

Emulab's rule: a LAN without addresses gets the next free 10.1.N.0/24, N counting only such LANs, and its members .2, .3, … in
their order; one with an explicit address lies in that address's network, and its other members get what is free there from .2
on. LANs of more than 253 members get a shorter prefix. Explicit addresses and networks are taken out of the pool first.
Only the LAN's families are numbered, and those of networks it names.
IPv6, where wanted, goes likewise through fd00:0:0:N::/64 (RFC 4193's locally assigned half, with a zero global id, since these
networks never leave their experiment).
Interfaces are eth1, eth2, … per node in the order of declaration (eth0 is the control interface's). A MAC address is
02:00 and the IPv4 address, legible in captures; without one, 02:01 and a hash of node and interface.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from models.spec import Inconsistent, Lan, Member, Shaping, Trace

Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

POOL_V4 = ipaddress.ip_network("10.0.0.0/8")
FIRST_V4 = int(ipaddress.ip_address("10.1.1.0"))
FIRST_V6 = int(ipaddress.ip_address("fd00:0:0:1::"))
PREFIX_V4, PREFIX_V6 = 24, 64
FIRST_HOST = 2


@dataclass(frozen=True)
class DeclaredMember:
    """addresses: explicit ones, with or without prefix length."""

    node: str
    interface: str | None = None
    mac: str | None = None
    addresses: tuple[str, ...] = ()
    uplink: Shaping = Shaping()
    downlink: Shaping = Shaping()


@dataclass(frozen=True)
class DeclaredLan:
    """networks: explicit CIDRs to number members from. mask: explicit IPv4 mask (255.255.255.0), for addresses without prefix
    length and for the LAN's own network. families: which addresses the members without explicit ones get."""

    name: str
    members: tuple[DeclaredMember, ...]
    kind: Literal["link", "lan"] = "link"
    networks: tuple[str, ...] = ()
    mask: str | None = None
    families: tuple[Literal[4, 6], ...] = (4,)
    cost: float = 1
    trace: Trace | None = None


def assign(lans: Sequence[DeclaredLan]) -> tuple[Lan, ...]:
    """The LANs with every member's interface, MAC and addresses. Raises `models.spec.Inconsistent`, naming LAN and node."""
    explicit = {lan.name: _explicit(lan) for lan in lans}
    networks = {lan.name: _networks(lan, explicit[lan.name]) for lan in lans}
    pools = {4: _Pool(4, networks.values()), 6: _Pool(6, networks.values())}
    interfaces = _Interfaces(lans)
    macs = _Macs(m.mac for lan in lans for m in lan.members)
    result = []
    for lan in lans:
        own = networks[lan.name]
        for family in lan.families:
            if family not in own:
                own[family] = pools[family].take(len(lan.members), lan)
        addresses = _number(lan, own, explicit[lan.name])
        members = []
        for member, own_addresses in zip(lan.members, addresses, strict=True):
            interface = interfaces.name(member)
            mac = (member.mac or macs.make(member.node, interface, own_addresses)).lower()
            members.append(Member(node=member.node, interface=interface, mac=mac, addresses=tuple(str(a) for a in own_addresses),
                                  uplink=member.uplink, downlink=member.downlink))
        result.append(Lan(name=lan.name, kind=lan.kind, members=tuple(members), mask=lan.mask, cost=lan.cost, trace=lan.trace))
    return tuple(result)


def _explicit(lan: DeclaredLan) -> list[list[Interface]]:
    """Each member's explicit addresses, with their networks."""
    mask = _mask_length(lan) or PREFIX_V4
    named = [_network(text, lan) for text in lan.networks]
    result = []
    for member in lan.members:
        own: list[Interface] = []
        for text in member.addresses:
            try:
                address = ipaddress.ip_interface(text)
            except ValueError:
                raise Inconsistent(f"'{text}' is not an IP address: expected for example 10.1.1.2/24 or fd00::2/64",
                                   lan.name, member.node) from None
            if "/" not in text:
                home = next((n for n in named if n.version == address.version and address.ip in n), None)
                length = home.prefixlen if home else mask if address.version == 4 else PREFIX_V6
                address = ipaddress.ip_interface(f"{address.ip}/{length}")
            own.append(address)
        result.append(own)
    return result


def _mask_length(lan: DeclaredLan) -> int | None:
    """Of the LAN's explicit mask. By hand, for ipaddress also takes 0.0.0.255 (a host mask) and bare lengths."""
    if lan.mask is None:
        return None
    try:
        bits = f"{int(ipaddress.IPv4Address(lan.mask)):032b}"
    except ValueError:
        bits = ""
    if not bits or "01" in bits or "1" not in bits:
        raise Inconsistent(f"'{lan.mask}' is not an IPv4 network mask: expected for example 255.255.255.0", lan.name)
    return bits.count("1")


def _network(text: str, lan: DeclaredLan) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise Inconsistent(f"'{text}' is not a network: expected for example 10.1.1.0/24, with no bits set behind the prefix",
                           lan.name) from None


def _networks(lan: DeclaredLan, explicit: list[list[Interface]]) -> dict[int, Network]:
    """The LAN's own network per family, where the source fixes it. Further ones of a family are only kept out of the pool by `Spec`."""
    result: dict[int, Network] = {}
    for network in [_network(text, lan) for text in lan.networks] + [a.network for own in explicit for a in own]:
        result.setdefault(network.version, network)
    return result


class _Pool:
    """Hands out the next network of a family that overlaps nothing the source fixes."""

    def __init__(self, family: int, fixed: Iterable[dict[int, Network]]):
        self._family = family
        self._taken = sorted({(int(n[family].network_address), int(n[family].broadcast_address)) for n in fixed if family in n})
        self._next = FIRST_V4 if family == 4 else FIRST_V6

    def take(self, members: int, lan: DeclaredLan) -> Network:
        length = PREFIX_V6 if self._family == 6 else _mask_length(lan) or min(PREFIX_V4, 32 - (members + FIRST_HOST).bit_length())
        size = 1 << ((32 if self._family == 4 else 128) - length)
        # A wider network starts at the next multiple of its size; a narrower one still takes a whole /24, so that N keeps counting LANs.
        start = -(-self._next // size) * size
        while (clash := next((t for t in self._taken if t[0] < start + size and start <= t[1]), None)) is not None:
            start = max(start + max(size, 1 << 8 if self._family == 4 else size), -(-(clash[1] + 1) // size) * size)
        network: Network
        if self._family == 4:
            if start + size - 1 > int(POOL_V4.broadcast_address):
                raise Inconsistent(f"the networks of {POOL_V4} are used up", lan.name)
            network = ipaddress.IPv4Network((start, length))
            self._next = start + max(size, 1 << (32 - PREFIX_V4))
        else:
            network = ipaddress.IPv6Network((start, length))
            self._next = start + size
        return network


def _number(lan: DeclaredLan, networks: dict[int, Network], explicit: list[list[Interface]]) -> list[list[Interface]]:
    """Every member's addresses: its explicit ones, and one of each numbered family that it lacks."""
    numbered = {*lan.families, *(_network(text, lan).version for text in lan.networks)}
    taken = {a.ip for own in explicit for a in own}
    free = {family: _free(network, taken) for family, network in networks.items()}
    result = []
    for member, own in zip(lan.members, explicit, strict=True):
        full = list(own)
        for family, network in sorted(networks.items()):
            if family not in numbered or any(a.version == family for a in own):
                continue
            address = next(free[family], None)
            if address is None:
                raise Inconsistent(f"network {network} has no address left for '{member.node}'", lan.name, member.node)
            full.append(ipaddress.ip_interface(f"{address}/{network.prefixlen}"))
        result.append(full)
    return result


def _free(network: Network, taken: set) -> Iterator[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """From .2 on; the tiny networks of point-to-point links (/31, /127 and narrower) have no address to spare, so from their first."""
    tiny = network.prefixlen >= network.max_prefixlen - 1
    first = int(network.network_address) + (0 if tiny else 1 if network.num_addresses == 4 else FIRST_HOST)
    last = int(network.broadcast_address) - (0 if tiny or network.version == 6 else 1)
    kind = ipaddress.IPv4Address if network.version == 4 else ipaddress.IPv6Address
    return (kind(n) for n in range(first, last + 1) if kind(n) not in taken)


class _Interfaces:
    """Next free ethN of each node, explicit names kept out."""

    def __init__(self, lans: Sequence[DeclaredLan]):
        self._taken = {(m.node, m.interface) for lan in lans for m in lan.members}
        self._next: dict[str, int] = {}

    def name(self, member: DeclaredMember) -> str:
        if member.interface is not None:
            return member.interface
        number = self._next.get(member.node, 1)
        while (member.node, f"eth{number}") in self._taken:
            number += 1
        self._next[member.node] = number + 1
        return f"eth{number}"


class _Macs:
    def __init__(self, explicit: Iterable[str | None]):
        self._taken = {mac.lower() for mac in explicit if mac}

    def make(self, node: str, interface: str, addresses: list[Interface]) -> str:
        v4 = next((a for a in addresses if a.version == 4), None)
        tail = v4.ip.packed if v4 else b""
        attempt = 0
        while True:
            head = b"\x02\x00" if tail else b"\x02\x01"
            mac = (head + (tail or hashlib.blake2b(f"{node}/{interface}/{attempt}".encode(), digest_size=4).digest())).hex(":")
            if mac not in self._taken:
                self._taken.add(mac)
                return mac
            tail, attempt = b"", attempt + 1
