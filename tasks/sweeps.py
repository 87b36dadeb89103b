"""A sweep's plan and outcomes, kept as one file that is replaced whole after every point."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from models.errors import Conflict, Corrupt, NotFound
from models.settings import settings
from models.sweep import Sweep
from nodeops.whole_file import write_whole

_writing = threading.Lock()


def path_of(sweep_id: str) -> Path:
    return settings().state_dir / "sweeps" / f"{sweep_id}.json"


def read_sweep(sweep_id: str) -> Sweep:
    try:
        return Sweep.model_validate_json(path_of(sweep_id).read_bytes())
    except FileNotFoundError:
        raise NotFound("no such sweep", where=sweep_id) from None
    except ValidationError as error:
        raise Corrupt("the sweep's file cannot be read", where=str(path_of(sweep_id))) from error


def sweeps_with(runs: Set[str]) -> list[Sweep]:
    """Those that have one of these runs."""
    known = [read_sweep(path.stem) for path in sorted(path_of("any").parent.glob("*.json"))]
    return [sweep for sweep in known if any(point.run_id in runs for point in sweep.points)]


def sweep_with_instance(instance_id: str) -> Sweep | None:
    """The one that made it and has not destroyed it yet."""
    for path in sorted(path_of("any").parent.glob("*.json")):
        if instance_id.encode() in path.read_bytes() and instance_id in (sweep := read_sweep(path.stem)).instances:
            return sweep
    return None


def forget_runs(sweep_id: str, runs: Set[str]) -> None:
    """Nothing of what these runs were told or reported stays in the sweep's file; their points do. Raises Conflict while it goes on."""
    with working_on_sweep(sweep_id) as sweep:
        for point in sweep.points:
            if point.run_id in runs:
                point.parameters, point.results, point.error = {}, {}, None
        write_sweep(sweep)


def write_sweep(sweep: Sweep) -> None:
    """Several threads may have points of one sweep."""
    with _writing:
        path_of(sweep.id).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path_of(sweep.id), sweep.model_dump_json(indent=1).encode())


@contextmanager
def claimed(sweep_id: str) -> Iterator[None]:
    """Raises Conflict while another process works on it; a dead one's claim ends with it."""
    path_of(sweep_id).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path_of(sweep_id).with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("this very sweep is going on", where=sweep_id) from None
        yield


@contextmanager
def working_on_sweep(sweep_id: str) -> Iterator[Sweep]:
    with claimed(sweep_id):
        yield read_sweep(sweep_id)
