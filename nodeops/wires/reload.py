"""A changed spec taken over by living wires: what did not change is not touched."""

from __future__ import annotations

from collections.abc import Callable

from models.protocol.wires import Reloaded
from models.spec import Lan, Spec
from nodeops.wires.network import Network
from nodeops.wires.place import DIRECTIONS, Place, places_of


def take_over(network: Network, old: Spec, new: Spec, now_ns: int, detach: Callable[[Place], None]) -> Reloaded:
    """New places are without ports; the caller attaches them, and settles the network."""
    before, after = ({lan.name: lan for lan in spec.lans} for spec in (old, new))
    removed, added = [name for name in before if name not in after], [name for name in after if name not in before]
    changed = [name for name in after if name in before and after[name] != before[name]]
    for name in removed:
        for place in network.remove(name):
            detach(place)
    for name in added:
        network.add(name, after[name].kind, places_of(after[name], network.seed), now_ns)
    for name in changed:
        _modify(network, after[name], now_ns, detach)
    return Reloaded(added=tuple(added), removed=tuple(removed), changed=tuple(changed))


def _modify(network: Network, lan: Lan, now_ns: int, detach: Callable[[Place], None]) -> None:
    """Members that stay keep their pipes and what is in them; where the spec's shaping changed, it is the new one."""
    leaving = {place.name: place for place in network.lans[lan.name].places}
    places = places_of(lan, network.seed)
    for index, place in enumerate(places):
        stays = leaving.pop(place.name, None)
        if stays is not None:
            for direction in DIRECTIONS:
                if stays.requested(direction) != place.requested(direction):
                    stays.pipe(direction).change(now_ns, place.requested(direction))
            stays.take(place.member)
            places[index] = stays
    for place in leaving.values():
        network.forget(place)
        detach(place)
    network.add(lan.name, lan.kind, places, now_ns)
