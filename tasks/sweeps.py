"""A sweep's plan and outcomes, kept as one file that is replaced whole after every point."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
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


def write_sweep(sweep: Sweep) -> None:
    """Several threads may have points of one sweep."""
    with _writing:
        path_of(sweep.id).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path_of(sweep.id), sweep.model_dump_json(indent=1).encode())


@contextmanager
def working_on_sweep(sweep_id: str) -> Iterator[Sweep]:
    """Raises Conflict while another flow works on it; a dead one's claim ends with it."""
    with path_of(sweep_id).with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("this very sweep is going on", where=sweep_id) from None
        yield read_sweep(sweep_id)
