"""What flows' common ancestor rehearses leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

from sqlmodel import func, select

from models.database import engine, reading
from models.tables import SCHEMA
from storage.store import Store
from swapbed.controller import warmth


def rows() -> dict[str, int]:
    with reading() as session:
        return {name: session.connection().execute(select(func.count()).select_from(table)).scalar_one()
                for name, table in SCHEMA.tables.items()}


def test_a_rehearsal_of_flows_and_of_storing_leaves_no_rows(state_dir: Path) -> None:
    (state_dir / "some").mkdir()
    with Store.of("default") as store:
        store.store_tree(state_dir / "some")
    before = rows()
    warmth._rehearse()
    warmth._rehearse_storing()
    assert rows() == before
    engine().dispose()
