"""The network at one virtual instant as files, one per pipe, and back."""

from __future__ import annotations

from pathlib import Path

from models.errors import Corrupt
from models.protocol.wires import HeldFrame, Saved, SavedPipe
from models.shaping import Direction
from nodeops.wires.frames import measure
from nodeops.wires.network import Network
from nodeops.wires.pipe import Pipe
from nodeops.wires.place import DIRECTIONS, Place


def file_of(place: Place, direction: Direction) -> Path:
    """Relative; the names of a spec hold no slash."""
    lan, node, interface = place.name
    return Path(lan) / f"{node}.{interface}.{direction}.json"


def save(network: Network, now_ns: int, directory: Path) -> Saved:
    """The network is frozen at now_ns. Raises OSError, leaving an incomplete directory, if it cannot be written."""
    files, frames, kept = [], 0, network.early()
    for place in network.places():
        for direction in DIRECTIONS:
            lan, node, interface = place.name
            early = kept.get(place.name, []) if direction == "uplink" else []
            state = SavedPipe(lan=lan, node=node, interface=interface, direction=direction, pipe=place.pipe(direction).save(now_ns),
                              early=tuple(HeldFrame(due_in_ns=at - now_ns, data=frame) for at, frame, _, _ in early))
            file = directory / file_of(place, direction)
            file.parent.mkdir(exist_ok=True)
            file.write_text(state.model_dump_json())
            files.append(str(file.relative_to(directory)))
            frames += len(state.pipe.held) + len(early)
    return Saved(virtual_ns=now_ns, frames=frames, files=tuple(files))


def restore(network: Network, now_ns: int, directory: Path) -> None:
    """Put every pipe of the network back as it was saved. All files are read before the first pipe changes; raises Corrupt."""
    states = [(place, direction, _read(directory / file_of(place, direction))) for place in network.places() for direction in DIRECTIONS]
    network.forget_early()
    for place, direction, state in states:
        pipe = Pipe.restore(state.pipe, now_ns, place.pipe(direction).fed_bps)
        if direction == "uplink":
            place.uplink = pipe
            network.keep_early(place, [(now_ns + held.due_in_ns, held.data, *measure(held.data)) for held in state.early])
        else:
            place.downlink = pipe
    for lan in network.lans.values():
        lan.refeed(now_ns)
        network.settle(lan)


def _read(file: Path) -> SavedPipe:
    try:
        return SavedPipe.model_validate_json(file.read_bytes())
    except FileNotFoundError as error:
        raise Corrupt("the saved state lacks this pipe", where=str(file)) from error
    except ValueError as error:
        raise Corrupt("the saved state of this pipe cannot be read", where=str(file)) from error
