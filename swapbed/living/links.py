"""Links and LANs of a living instance: what was asked of each pipe, how it is shaped now, and what it did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.protocol.wires import Show, Shown, ShownPipe
from swapbed.living import events
from swapbed.living.access import Access

PAGE_PIPES = 256


def show(access: Access, lan: str | None = None) -> list[ShownPipe]:
    """Every pipe of one link or LAN, or of all, in the spec's order."""
    if lan is not None:
        access.lan(lan)
    pipes: list[ShownPipe] = []
    for host in access.hosts():
        total, seen = 1, 0
        while seen < total:
            page = access.relay(host, "wires", "show", Show(lan=lan, skip=seen, limit=PAGE_PIPES), Shown)
            pipes += page.pipes
            total, seen = page.total, seen + max(len(page.pipes), 1)
    order = {name: number for number, name in enumerate(lan.name for lan in access.spec.lans)}
    return sorted(pipes, key=lambda pipe: order[pipe.lan])


def change(access: Access, lan: str, words: Mapping[str, Any] | Sequence[str]) -> None:
    """Only what is given changes, from the next frame on: delay="50ms", loss="1%", … and member, direction."""
    events.send(access, events.event(access, access.lan(lan).name, "modify", words))


def up(access: Access, lan: str, member: str | None = None) -> None:
    events.send(access, events.event(access, access.lan(lan).name, "up", {"member": member} if member else ()))


def down(access: Access, lan: str, member: str | None = None) -> None:
    """Frames that enter are lost from now on; those under way arrive."""
    events.send(access, events.event(access, access.lan(lan).name, "down", {"member": member} if member else ()))
