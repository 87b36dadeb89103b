"""A node's way to the outside: a veth pair to its host, which forwards and translates addresses for it."""

from __future__ import annotations

from nodeops.journal import OutsideLink


def unplug(link: OutsideLink) -> None:
    """Nothing is left of it on the host when this returns."""
