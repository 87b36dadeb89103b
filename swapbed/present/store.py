"""What the store as a whole looks like: sizes, what is wrong with it, what a collection did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from storage.checking import Checked
from storage.collecting import Collected
from storage.seeking import Sought
from storage.usage import RootUsage, StoreUsage
from swapbed.present.output import table
from swapbed.present.units import count, size

if TYPE_CHECKING:
    from rich.table import Table

    from swapbed.store import Remade

FINDINGS_LIMIT = 100


def usage_tables(used: StoreUsage) -> list[Table]:
    """Per kind, and then what the object store holds for it."""
    rows: list[tuple[Any, ...]] = [(kind.kind, kind.roots, size(kind.logical_bytes), size(kind.unique_bytes), size(kind.stored_bytes),
                                    f"{kind.ratio:.1f}", kind.chunks) for kind in used.kinds]
    if rows:
        rows.append(("all, shared once", sum(kind.roots for kind in used.kinds), size(used.logical_bytes), size(used.unique_bytes),
                     size(used.pack_bytes - used.garbage_bytes), f"{used.ratio:.1f}", used.chunks))
    return [table(None, ("kind", "#pinned", "#logical", "#unique", "#stored", "#ratio", "#chunks"), rows, empty="nothing is pinned yet"),
            table(None, ("packs", "value"), [("number", used.packs), ("bytes", size(used.pack_bytes)),
                                             ("of it garbage and framing", size(used.garbage_bytes))])]


def root_table(used: RootUsage) -> Table:
    pinned = [("pinned", f"{root.kind} {root.name}") for root in used.roots]
    return table(None, ("what", "value"), [
        *pinned, ("logical", size(used.logical_bytes)), ("unique", size(used.unique_bytes)), ("stored", size(used.stored_bytes)),
        ("alone holds", f"{size(used.own_bytes)}, stored as {size(used.own_stored_bytes)} in {count(used.own_chunks, 'chunk')}")])


def findings_table(found: Checked) -> Table:
    return table(None, ("finding", "what", "where", "needed by"),
                 [(finding.kind, finding.what, finding.where, ", ".join(finding.needed_by)) for finding in found.findings],
                 limit=FINDINGS_LIMIT)


def checked_sentence(found: Checked) -> str:
    looked = f"{count(found.packs, 'pack')}, {count(found.roots, 'root')}"
    read = f", {size(found.bytes)} read and compared" if found.deep else ""
    mended = f"; {count(found.repaired, 'bad copy', 'bad copies')} forgotten" if found.repaired else ""
    return f"{'whole' if found.whole else 'NOT whole'}: {looked}{read}{mended}"


def rebuilt_table(made: Remade) -> Table:
    return table(None, ("what", "value"), [
        ("packs", made.packs), ("chunks", made.chunks), ("roots", made.roots), ("manifests without a root, pinned", made.recovered),
        ("records that lists have again", made.records), ("templates, from them", made.templates),
        *(("damaged pack", f"{damage.pack}: {damage.what}") for damage in made.damaged),
        *(("no pack", what) for what in made.unreadable), *(("incomplete", what) for what in made.incomplete),
        *(("not listed", what) for what in made.unlisted)])


def sought_table(sought: Sought) -> Table:
    rows = [("FOUND", place) for place in sought.found] or [("found", "nowhere")]
    return table(None, ("", "place"), [*rows, *(("looked at", place) for place in sought.looked_at),
                                       *(("not looked at", place) for place in sought.not_looked_at)])


def collected_table(found: Collected) -> Table:
    """Of a collection, or of a dry run: what later ones would free."""
    freed = f"{count(found.freed_chunks, 'chunk')}, {size(found.freed_bytes)}"
    condemned = f"{count(found.condemned_chunks, 'chunk')}, {size(found.condemned_bytes)}"
    if found.dry_run:
        done: list[tuple[str, Any]] = [("would be freed now", freed), ("would be condemned, and freed after that", condemned)]
    else:
        done = [("freed", freed), ("packs deleted", f"{found.deleted_packs}, {size(found.deleted_bytes)}"),
                ("packs rewritten", found.rewritten_packs), ("condemned, for the next one to free", condemned)]
    return table(None, ("what", "value"), [
        ("roots", found.roots), *done, *(("waits for the transfer", transfer) for transfer in found.waiting_for),
        *(("problem", problem) for problem in found.problems)])
