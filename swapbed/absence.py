"""Is a string anywhere in what this installation keeps? The proof of an expunging, for the one who knows what must not be left.

Looked at: store and database (`storage.seeking`), and every file of the state directory: Prefect's database and its write-ahead log, logs
of server and controller, spools, what nodes changed (upper layers), datastores. What is elsewhere, or in living processes, is said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sqlmodel import col, select

from models.database import engine, reading
from models.errors import InvalidInput
from models.settings import settings
from models.tables import Host, Instance
from storage.local_objects import LocalObjects
from storage.objects import ObjectStore
from storage.seeking import Sought, seek_in_database, seek_in_files, seek_in_store
from swapbed.present.progress import Report
from swapbed.present.units import count
from swapbed.serving import server

LEAST_BYTES = 6  # fewer are found by chance in what is compressed


def seek(secret: bytes, objects: ObjectStore, report: Report) -> Sought:
    """Raises InvalidInput for a string that is too short to mean anything."""
    if len(secret) < LEAST_BYTES:
        raise InvalidInput(f"{count(len(secret), 'byte')} would be found by chance", next=f"Give at least {LEAST_BYTES}")
    in_store = seek_in_store(objects, secret, lambda done, total: report("looking into the store", done, total))
    report("looking into the database", 0, 0)
    in_database = seek_in_database(engine(), secret)
    report("looking into the state directory", 0, 0)
    return _once(in_store + in_database + _in_files(objects, secret) + _elsewhere())


def _in_files(objects: ObjectStore, secret: bytes) -> Sought:
    places = [settings().state_dir]
    if isinstance(objects, LocalObjects) and not objects.root.is_relative_to(places[0]):
        places.append(objects.root)
    looked = [str(place) for place in places]
    kept = [f"{name} in it" for name in ("prefect", "spool", "instances", "datastores", "s3") if (places[0] / name).is_dir()]
    return seek_in_files([path for place in places for path in _files(place)], secret) + Sought(
        looked_at=(f"every file below {', '.join(looked)}, unfinished and hidden ones too", *kept))


def _files(directory: Path) -> Iterator[Path]:
    for place, _, names in os.walk(directory):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _elsewhere() -> Sought:
    beyond = ["what disks keep of deleted files, and backups"]
    if external := server.external_api():
        beyond.append(f"Prefect's database behind {external}")
    with reading() as session:
        remote = session.exec(select(Host.name).where(col(Host.address).is_not(None))).all()
        living = session.exec(select(Instance.name).where(col(Instance.ended_at).is_(None))).all()
    beyond += [f"spools and upper layers on the host {name}" for name in remote]
    beyond += [f"memory of the living instance {name}" for name in living]
    return Sought(not_looked_at=tuple(beyond))


def _once(sought: Sought) -> Sought:
    return Sought(**{name: tuple(dict.fromkeys(value)) for name, value in sought})
