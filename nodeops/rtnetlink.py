"""What a node's network is told, as rtnetlink messages (rtnetlink(7)): packed by hand and sent many at a time.

A LAN of a hundred needs ten thousand of them. Packing one with a general library costs more than the kernel needs to obey it.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import struct

from models.errors import HostProblem

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Interface = ipaddress.IPv4Interface | ipaddress.IPv6Interface
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

REQUEST, ACKNOWLEDGE, REPLACE, CREATE = 0x1, 0x4, 0x100, 0x400
NEWLINK, DELLINK, NEWADDR, NEWROUTE, DELROUTE, NEWNEIGH = 16, 17, 20, 24, 25, 28
GONE = (errno.ESRCH, errno.ENODEV)  # of what is to be deleted: no error
ERROR = 2
IFF_UP = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_F_NODAD = 1, 2, 4, 8, 0x02
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
NDA_DST, NDA_LLADDR, NUD_PERMANENT = 1, 2, 0x80
RT_TABLE_MAIN, RTPROT_STATIC, RTN_UNICAST = 254, 4, 1
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD, IFLA_AF_SPEC = 1, 3, 4, 18, 28, 26
IFLA_INFO_KIND, IFLA_INFO_DATA, VETH_INFO_PEER = 1, 2, 1
IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE = 8, 1
BATCH_BYTES = 1 << 17

_HEADER = struct.Struct("=IHHII")
_LINK = struct.Struct("=BxHiII")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")


def family(address: Address | Interface | Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def link_up(index: int) -> tuple[int, bytes]:
    return NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, IFF_UP, IFF_UP)


def no_link_local_address(index: int) -> tuple[int, bytes]:
    """The interface makes itself no IPv6 address, and so has nothing to tell anybody when it comes up."""
    inet6 = attribute(socket.AF_INET6, attribute(IFLA_INET6_ADDR_GEN_MODE, bytes([ADDR_GEN_MODE_NONE])))
    return NEWLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + attribute(IFLA_AF_SPEC, inet6)


def address(index: int, interface: Interface) -> tuple[int, bytes]:
    packed = interface.ip.packed
    body = struct.pack("=BBBBI", family(interface), interface.network.prefixlen, IFA_F_NODAD, 0, index)
    body += attribute(IFA_LOCAL, packed) + attribute(IFA_ADDRESS, packed) + attribute(IFA_FLAGS, struct.pack("=I", IFA_F_NODAD))
    if interface.version == 4 and interface.network.prefixlen < 31:
        body += attribute(IFA_BROADCAST, interface.network.broadcast_address.packed)
    return NEWADDR, body


def known(of: Address, mac: bytes) -> tuple[int, bytes]:
    """Who has which MAC address: the part of a neighbour entry that is the same on every interface."""
    return family(of), attribute(NDA_DST, of.packed) + attribute(NDA_LLADDR, mac)


def neighbour(index: int, who: tuple[int, bytes]) -> tuple[int, bytes]:
    """A permanent entry: never asked for, never forgotten, not counted against gc_thresh."""
    return NEWNEIGH, _NEIGHBOUR.pack(who[0], index, NUD_PERMANENT, 0, 0) + who[1]


def route(destination: Network, via: Address, index: int) -> tuple[int, bytes]:
    body = struct.pack("=BBBBBBBBI", family(destination), destination.prefixlen, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, 0, RTN_UNICAST, 0)
    body += attribute(RTA_DST, destination.network_address.packed) + attribute(RTA_GATEWAY, via.packed)
    return NEWROUTE, body + attribute(RTA_OIF, struct.pack("=I", index))


def delete_route(destination: Network, via: Address, index: int) -> tuple[int, bytes]:
    return DELROUTE, route(destination, via, index)[1]


def veth(name: str, peer: str, peer_namespace: int) -> tuple[int, bytes]:
    """A pair: one end here, the other in the namespace open as that fd."""
    other = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(IFLA_IFNAME, peer.encode() + b"\0")
    other += attribute(IFLA_NET_NS_FD, struct.pack("=I", peer_namespace))
    info = attribute(IFLA_INFO_KIND, b"veth") + attribute(IFLA_INFO_DATA, attribute(VETH_INFO_PEER, other))
    own = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + attribute(IFLA_IFNAME, name.encode() + b"\0")
    return NEWLINK, own + attribute(IFLA_LINKINFO, info)


def delete_link(index: int) -> tuple[int, bytes]:
    return DELLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)


class Batch:
    """Messages for the network namespace that the sending thread is in. `about` names each one in errors."""

    def __init__(self) -> None:
        self._messages: list[tuple[int, bytes]] = []
        self._about: list[str] = []

    def add(self, message: tuple[int, bytes], about: str) -> None:
        self._messages.append(message)
        self._about.append(about)

    @property
    def empty(self) -> bool:
        return not self._messages

    def send(self) -> None:
        """All of them, in order. Raises HostProblem with the first that the kernel refused; the others are in force none the less."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0) as netlink:
            netlink.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * BATCH_BYTES)
            netlink.bind((0, 0))
            first = 0
            while first < len(self._messages):
                first = self._send_some(netlink, first)

    def _send_some(self, netlink: socket.socket, first: int) -> int:
        """Only the last message of a piece is acknowledged; refusals are reported anyway. Returns where the next piece begins."""
        parts: list[bytes] = []
        size = 0
        at = first
        while at < len(self._messages) and size < BATCH_BYTES:
            kind, body = self._messages[at]
            at += 1
            flags = REQUEST | (0 if kind in (DELLINK, DELROUTE) else CREATE | REPLACE if kind in (NEWNEIGH, NEWADDR, NEWROUTE) else CREATE)
            if at == len(self._messages) or size + len(body) + _HEADER.size >= BATCH_BYTES:
                flags |= ACKNOWLEDGE
            parts.append(_HEADER.pack(_HEADER.size + len(body), kind, flags, at, 0) + body)
            size += _HEADER.size + len(body)
        netlink.send(b"".join(parts))
        while True:
            received = netlink.recv(1 << 16)
            offset = 0
            while offset < len(received):
                length, kind, _, sequence, _ = _HEADER.unpack_from(received, offset)
                code = -struct.unpack_from("=i", received, offset + _HEADER.size)[0] if kind == ERROR else 0
                if code and not (code in GONE and self._messages[sequence - 1][0] in (DELLINK, DELROUTE)):
                    raise HostProblem(f"the kernel refuses it: {os.strerror(code)}", where=self._about[sequence - 1],
                                      next="Load the kernel's IPv6 module" if code == errno.EAFNOSUPPORT else None)
                if sequence == at:
                    return at
                offset += length + (-length % 4)
