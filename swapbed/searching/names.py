"""Names in a query that nothing here has: one that is misspelled finds nothing, and must not look like an answer."""

from __future__ import annotations

from collections.abc import Iterable

from sqlmodel import Session, col, select

from languages.nearest import nearest
from models.database import reading
from models.tables import Metadata, Record, Run
from swapbed.searching.language import names_in, parse
from swapbed.searching.others import FACTS, Kind
from swapbed.searching.reported import keys
from swapbed.searching.runs import FACTS_OF_RUN, METADATA, PARAMETER, RESULT


def unknown_names(query: str, kind: Kind | None = None) -> list[str]:
    """A sentence for each, with what it may be meant for. It looks through everything: ask when a query has found nothing.

    kind: as for `search_others`; None: of runs.
    """
    with reading() as session:
        plain = set(_names(session, kind))
    known = plain | {prefix + name for prefix in (PARAMETER, RESULT, METADATA) for name in plain}
    return [f"nothing here is named '{name}'. {nearest(name, sorted(plain)) or ''}" for name in names_in(parse(query)) if name not in known]


def _names(session: Session, kind: Kind | None) -> Iterable[str]:
    yield from FACTS_OF_RUN if kind is None else FACTS[kind]
    yield from session.exec(select(Metadata.key).distinct())
    if kind == "instance":
        yield from (PARAMETER + name for name in keys(session, col(Run.parameters)))
    if kind is None:
        yield from keys(session, col(Run.parameters))
        for name in keys(session, col(Record.summary), "results"):
            yield from {name, name.partition(".")[2] or name}
