"""TAP devices: made once and persistent in a node's network namespace, attached to and detached from at will.

Linux, Documentation/networking/tuntap.rst and include/uapi/linux/if_tun.h. A persistent TAP outlives the process that holds
its fd: without one it has no carrier, and what the node sends is lost.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from pathlib import Path

from models.errors import HostProblem, NotFound
from nodeops.linux import network_namespace

TUNSETIFF, TUNSETPERSIST, TUNSETOFFLOAD, SIOCSIFHWADDR, SIOCSIFTXQLEN = 0x400454CA, 0x400454CB, 0x400454D0, 0x8924, 0x8943
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x2, 0x1000, 0x4000
FLAGS = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
OFFLOADS = 1 | 2 | 4 | 8  # checksums, TSO4, TSO6, TSO with ECN
ARPHRD_ETHER = 1
QUEUE_FRAMES = 2000  # what the kernel holds while the wires are busy elsewhere; its default of 1000 is 12 ms of 80,000 frames a second
TRANSMIT_DROPPED = 11  # field of /proc/net/dev behind the name
DEVICE = "/dev/net/tun"


def create_persistent(name: str, mac: str) -> None:
    """Make the TAP `name` in the namespace of this thread, down, unattached; one that is there already gets the address and stays."""
    fd = _attach(name)
    try:
        fcntl.ioctl(fd, TUNSETPERSIST, 1)
        fcntl.ioctl(fd, SIOCSIFHWADDR, struct.pack("16sH6s8x", name.encode(), ARPHRD_ETHER, bytes.fromhex(mac.replace(":", ""))))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
            fcntl.ioctl(control, SIOCSIFTXQLEN, struct.pack("16si20x", name.encode(), QUEUE_FRAMES))
    finally:
        os.close(fd)


def attach(namespace: int, name: str) -> int:
    """A non-blocking fd of the TAP in the namespace open as that fd. Raises NotFound if it is not there (attaching must not make one)."""
    with network_namespace(namespace):
        try:
            socket.if_nametoindex(name)
        except OSError as error:
            raise NotFound(f"the node has no interface '{name}'") from error
        return _attach(name)


def missed(namespace: int, name: str) -> int:
    """Frames that the node sent and the wires never saw, because the device's queue was full or nobody held it."""
    with network_namespace(namespace):
        lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
    found = (fields for interface, _, fields in (line.partition(":") for line in lines) if interface.strip() == name)
    return sum(int(fields.split()[TRANSMIT_DROPPED]) for fields in found)


def set_offload(fd: int, whole: bool) -> None:
    """Whether the node may hand over super-frames and unfinished checksums. Off, its kernel does that; it may change at any time."""
    fcntl.ioctl(fd, TUNSETOFFLOAD, OFFLOADS if whole else 0)


def _attach(name: str) -> int:
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise HostProblem(f"cannot open the TAP device: {error.strerror}", where=DEVICE, next="Is the kernel module tun loaded?") from error
    try:
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), FLAGS))
    except OSError as error:
        os.close(fd)
        raise HostProblem(f"cannot attach to the TAP '{name}': {error.strerror}") from error
    return fd

