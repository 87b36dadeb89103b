"""The flow that keeps the store in order, on a real Prefect server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from models.database import engine, writing
from storage.roots import RootKind
from storage.store import Store


def test_garbage_goes_with_the_second_run_and_what_is_pinned_stays(prefect_server: str, state_dir: Path, tmp_path: Path) -> None:
    from flows.collect_garbage import collect_garbage

    store = Store.of()
    for name in ("kept", "gone"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(f"{name}\n" * 10_000)
    store.pin(RootKind.RECORD, "kept", store.store_tree(tmp_path / "kept").manifest)
    gone = store.store_tree(tmp_path / "gone")
    with writing() as session:
        session.connection().execute(text("UPDATE transfer SET expires_s = 0"))
    assert collect_garbage()["condemned_bytes"] > 0
    assert collect_garbage()["freed_bytes"] > 0
    assert not store.has(gone.hash)
    store.restore_tree(store.root(RootKind.RECORD, "kept").manifest, tmp_path / "again")
    assert (tmp_path / "again/file").read_text() == "kept\n" * 10_000
    engine().dispose()
