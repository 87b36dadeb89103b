"""What a run is given of other runs' records: read from the store, written into its nodes before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from models.database import reading
from models.errors import NotFound
from models.instances import instance_by_id, placements
from models.manifest import FileKind, ListedFile
from models.protocol.init import PIECE_BYTES
from models.recorded import InputFile
from models.tables import Host, Project, Run
from nodeops.init.files import NodeFiles
from storage.store import Store
from tasks.progress import report
from tasks.sessions import HostReference, session_with

FILE_MODE = 0o644


def give_inputs(run: Run) -> None:
    """Idempotent. Raises NotFound where the record's content is gone, as after expunging."""
    for wanted in (InputFile.model_validate(given) for given in run.inputs):
        with reading() as session:
            instance = instance_by_id(session, run.instance_id)
            store = Store.of(session.get_one(Project, instance.project_id).name)
            place = next((place for place in placements(session, run.instance_id) if place.node == wanted.node), None)
            if place is None:
                raise NotFound(f"there is no node '{wanted.node}'", where=instance.name)
            host = HostReference.of(session.get_one(Host, place.host_id))
        report(f"giving {wanted.path} to {wanted.node}")
        with session_with(host) as connection, connection.node(run.instance_id, wanted.node) as init:
            _write(store, wanted, NodeFiles(init))


def files_below(store: Store, root: str, path: str) -> list[ListedFile]:
    """The file of that path in a record, or all below the directory. Raises NotFound."""
    found = [file for file in store.list_tree(root)
             if file.kind is FileKind.FILE and (file.path == path or file.path.startswith(f"{path}/"))]
    if not found:
        raise NotFound("there is no such file in the record", where=path, next="`swapbed record show --files` lists them")
    return found


def _write(store: Store, wanted: InputFile, files: NodeFiles) -> None:
    with store.read_tree(wanted.record) as tree:
        for file in files_below(store, wanted.record, wanted.path):
            target = wanted.target + file.path.removeprefix(wanted.path)
            files.make_directory(str(PurePosixPath(target).parent))
            files.write(target, _pieces(tree.read(file.path)), FILE_MODE)


def _pieces(parts: Iterator[bytes]) -> Iterator[bytes]:
    for part in parts:
        for start in range(0, len(part), PIECE_BYTES):
            yield part[start:start + PIECE_BYTES]
