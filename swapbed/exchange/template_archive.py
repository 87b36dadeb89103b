"""`template export` and `template import`: a template with all its ancestors and their files, as one tar, for another installation.

    templates.json          the chain, root first; digests are checked when it is imported
    datastores/HASH/…       the files of each, once however many templates have them
    notes.json              what people noted on them, with its history; on this nothing's hash depends

The same template gives the same bytes, as long as nobody changes the notes. Instances and records are not in it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from models.database import reading, writing
from models.errors import Conflict, HostProblem, InvalidInput
from models.states import Subject
from models.tables import Template
from storage.store import Store
from swapbed.exchange.added import Added
from swapbed.exchange.archive_files import Member, of_text, of_tree, unpack, write_tar
from swapbed.exchange.notes_archive import Named, Notes, notes_on, take_notes
from swapbed.exchange.template_chain import Chain, add_chain, chain_of, check_chain, check_name, lineage, missing, take_datastores
from swapbed.lifecycle import project
from swapbed.templates import find

CHAIN, NOTES, DATASTORES = "templates.json", "notes.json", "datastores"


def export(template: str, target: Path) -> Path:
    """Raises Conflict if the file is there, NotFound if an ancestor was expunged: its descendants' hashes could not be checked."""
    row = find(template)
    chain = chain_of(row)
    with reading() as session:
        notes = notes_on(session, named(lineage(row)))
    if target.exists():
        raise Conflict("this file exists", where=str(target), next="Name another")
    draft = target.with_name(f".{target.name}.new")
    try:
        with ExitStack() as stack, draft.open("wb") as out:
            texts = [of_text(CHAIN, chain.model_dump_json(indent=1)), of_text(NOTES, notes.model_dump_json(indent=1))]
            write_tar([*texts, *datastore_members(Store.of(project().name), chain, DATASTORES, stack)], out, target.name)
        draft.rename(target)
    except OSError as error:
        raise HostProblem(f"the file cannot be written: {error.strerror}", where=str(target)) from error
    finally:
        draft.unlink(missing_ok=True)
    return target


@dataclass(frozen=True)
class Imported:
    """new: whether the template itself was not here."""

    template: Template
    new: bool
    added: Added


def import_(archive: Path, *, name: str | None = None) -> Imported:
    """The template that was exported; what of its chain is here already stays as it is. name: for the tree, if it is a new one."""
    mine = project()
    with tempfile.TemporaryDirectory(prefix="swapbed-import-") as scratch:
        place = Path(scratch)
        unpack(archive, place)
        try:
            chain = Chain.model_validate_json((place / CHAIN).read_bytes())
            notes = Notes.model_validate_json((place / NOTES).read_bytes()) if (place / NOTES).exists() else Notes()
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
            raise InvalidInput(f"this is no export of a template ({CHAIN}: {why})", where=str(archive),
                               next="`swapbed template export` writes them") from error
        check_chain(chain, str(archive))
        with reading() as session:
            check_name(session, mine, chain, name)
        with Store.of(mine.name) as store:
            take_datastores(store, chain, place / DATASTORES)
        with writing() as session:
            new = missing(session, mine, chain)
            made = add_chain(session, mine, chain, name)
            added = Added(templates=len(new), notes=take_notes(session, notes, named(made)))
    return Imported(made[-1], chain.templates[-1].digest in new, added)


def datastore_members(store: Store, chain: Chain, below: str, stack: ExitStack) -> Iterator[Member]:
    """Their files, at below/HASH; readers stay open as long as the stack."""
    for datastore in chain.datastores:
        yield from of_tree(stack.enter_context(store.read_tree(datastore)), f"{below}/{datastore}")


def named(rows: list[Template]) -> Named:
    return {(Subject.TEMPLATE, row.digest): row.id for row in rows}
