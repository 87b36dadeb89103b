"""Which network each LAN gets: 10.1.1.0, 10.1.2.0, … in the order in which Emulab's parser comes upon its LANs.

That order is neither the program's nor the alphabet's: Emulab keeps LANs in a Tcl array, and goes through it as Tcl's hash table
has it. So old records, scripts and addresses in papers agree with what is given out here. The table (Tcl's documented behaviour
since 8.0, and unchanged in 8.6): a string's hash is h = 9h + byte; 4 buckets, four times as many whenever there are three
entries a bucket; new entries go to the front of their bucket.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Sequence

from languages.addresses import DeclaredLan
from languages.ns.quantities import dotted, integer_of
from models.spec import Inconsistent

DEFAULT_MASK = 0xFFFFFF00
FIRST_BUCKETS = 4
ENTRIES_A_BUCKET = 3


class TclArray:
    """The order of a Tcl array's names."""

    def __init__(self) -> None:
        self._buckets: list[list[str]] = [[] for _ in range(FIRST_BUCKETS)]
        self._size = 0

    def add(self, name: str) -> None:
        self._bucket(name).insert(0, name)
        self._size += 1
        if self._size >= ENTRIES_A_BUCKET * len(self._buckets):
            old, self._buckets = self._buckets, [[] for _ in range(4 * len(self._buckets))]
            for bucket in old:
                for entry in bucket:
                    self._bucket(entry).insert(0, entry)

    def remove(self, name: str) -> None:
        self._bucket(name).remove(name)
        self._size -= 1

    def names(self) -> list[str]:
        return [name for bucket in self._buckets for name in bucket]

    def _bucket(self, name: str) -> list[str]:
        value = 0
        for byte in name.encode():
            value = (9 * value + byte) & 0xFFFFFFFF
        return self._buckets[value & (len(self._buckets) - 1)]


def emulab_order(lan_names: Iterable[Sequence[str]]) -> list[str]:
    """lan_names: for each LAN in the order of their making, its first name and the one it was given, if any."""
    array = TclArray()
    for first, *given in lan_names:
        array.add(first)
        if given:
            array.remove(first)
            array.add(given[0])
    return array.names()


def networks_of(lans: Sequence[DeclaredLan], names: Iterable[Sequence[str]] | None = None) -> dict[str, str]:
    """CIDR per LAN that has no explicit address. names: as of `emulab_order`; without them, every LAN was named at once."""
    masks = {lan.name: integer_of(lan.mask) for lan in lans if lan.mask is not None}
    fixed: dict[str, ipaddress.IPv4Network] = {}
    for lan in lans:
        for text in (text for member in lan.members for text in member.addresses):
            address = ipaddress.ip_interface(text if "/" in text else f"{text}/{masks.get(lan.name, DEFAULT_MASK).bit_count()}")
            if address.version == 4:
                fixed[lan.name] = address.network
    order = emulab_order(names if names is not None else [("", lan.name) for lan in lans])
    return choose(order, masks, {lan.name: len(lan.members) for lan in lans}, fixed)


def choose(order: Iterable[str], masks: dict[str, int], sizes: dict[str, int], fixed: dict[str, ipaddress.IPv4Network]) -> dict[str, str]:
    """CIDR per LAN that has no explicit address. masks: explicit ones; sizes: members; fixed: networks of the others.

    Emulab gives out only what no LAN seen so far uses; here, what no LAN uses. A LAN too large for its network, which Emulab
    refuses, gets a wider one.
    """
    pools: dict[int, Iterator[int]] = {}
    taken = {0: [(int(n.network_address), int(n.netmask)) for n in fixed.values()]}  # by the pool they are from; 0: fixed
    chosen: dict[str, str] = {}
    for name in order:
        if name in fixed:
            continue
        mask = masks.get(name) or _wide_enough(sizes[name])
        others = [network for pool, networks in taken.items() if pool != mask for network in networks]  # a pool does not repeat itself
        free = (n for n in pools.setdefault(mask, _pool(mask)) if not any(n & m == at or at & mask == n for at, m in others))
        if (network := next(free, None)) is None:
            raise Inconsistent(f"there is no network left in 10.0.0.0/8 for '{name}'", name)
        taken.setdefault(mask, []).append((network, mask))
        chosen[name] = f"{dotted(network)}/{mask.bit_count()}"
    return chosen


def _wide_enough(members: int) -> int:
    """.0, .1 and the broadcast address are not given out."""
    mask = DEFAULT_MASK
    while members > (~mask & 0xFFFFFFFF) - 2:
        mask = mask << 1 & 0xFFFFFFFF
    return mask


def _pool(mask: int) -> Iterator[int]:
    """10.B.C.D, the octets where the mask ends counting in its steps, beginning with one step."""
    third, fourth = mask >> 8 & 255, mask & 255
    for b in range(1, 254):
        for c in range(256 - third, 255, 256 - third) if third else (0,):
            for d in range(256 - fourth, 255, 256 - fourth) if fourth else (0,):
                yield integer_of(f"10.{b}.{c}.{d}")
