"""The network of a spec: LANs, their members, how each direction is shaped."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal

from pydantic import Field, field_validator

from models.events import Seconds
from models.spec.part import BitRate, Fraction, Part

INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")  # IFNAMSIZ is 16 with the NUL


class Red(Part):
    """RED as in ns-2 (Floyd and Jacobson 1993; `gentle`: Floyd 2000). Thresholds in the queue's unit's packets."""

    min_threshold: float = Field(default=5, gt=0)
    max_threshold: float = Field(default=15, gt=0)
    mean_packet_size_bytes: int = Field(default=500, gt=0)
    weight: float = Field(default=0.002, gt=0, le=1)
    linear_term: float = Field(default=10, gt=0, description="1 / max_p")
    gentle: bool = False
    wait: bool = True
    mark: bool = Field(default=False, description="ns-2's setbit_: mark ECN-capable packets instead of dropping")
    byte_mode: bool = Field(default=False, description="ns-2's bytes_: drop probability scaled by packet size")


class Queue(Part):
    """What waits for the bandwidth of one pipe. limit: packets or bytes."""

    discipline: Literal["droptail", "red"] = "droptail"
    limit: int = Field(default=50, gt=0)
    unit: Literal["packets", "bytes"] = "packets"
    red: Red = Red()


class Shaping(Part):
    """One pipe: queue → bandwidth → delay and jitter → loss."""

    bandwidth_bps: BitRate = 0
    delay_s: Seconds = 0
    jitter_s: Seconds = Field(default=0, description="scale of the jitter: half-width (uniform) or standard deviation")
    jitter_distribution: Literal["uniform", "normal", "pareto"] = "uniform"
    loss: Fraction = 0
    queue: Queue = Queue()


class Member(Part):
    """One node's place in one LAN. uplink: node → LAN; downlink: LAN → node."""

    node: str
    interface: str = Field(description="device name inside the node; unique per node")
    mac: str = Field(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
    addresses: tuple[str, ...] = Field(default=(), description="IPv4 and IPv6, each with prefix length: 10.1.1.2/24")
    uplink: Shaping = Shaping()
    downlink: Shaping = Shaping()

    @field_validator("interface")
    @classmethod
    def _interface(cls, value: str) -> str:
        if not INTERFACE.fullmatch(value) or value == "lo":
            raise ValueError(f"'{value}' is not a usable interface name (1 to 15 of letters, digits, '_', '.', '-'; not lo)")
        return value

    @field_validator("addresses")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            if "/" not in text:
                raise ValueError(f"address '{text}' lacks its prefix length, as in {text}/24")
            ipaddress.ip_interface(text)
        return value


class Trace(Part):
    """Capture on a LAN while a run lasts; kept in the record."""

    what: Literal["header", "packet", "monitor"] = "header"
    filter: str = Field(default="", description="tcpdump expression")
    snap_bytes: int = Field(default=0, ge=0, description="0: all of a `packet`, 64 of a `header`")
    end_nodes: bool = Field(default=False, description="capture in the nodes, too")
    members: tuple[str, ...] = Field(default=(), description="only what these nodes send; empty: every member")


class Lan(Part):
    """A link is a LAN of two. A frame passes the sender's uplink and then each receiver's downlink."""

    name: str
    kind: Literal["link", "lan"] = "link"
    members: tuple[Member, ...]
    mask: str | None = Field(default=None, description="explicit IPv4 mask, if the source gave one")
    cost: float = Field(default=1, gt=0, description="for shortest paths")
    trace: Trace | None = None
