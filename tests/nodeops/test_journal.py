"""The journal: what stands after any sequence of notes, after any cut, and never an object that is not ours."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.errors import Corrupt
from nodeops import cgroups
from nodeops.identity import ProcessIdentity
from nodeops.journal import Cgroup, Journal, Process

PATHS = st.sampled_from(["/x/a", "/x/b", "/x/c"])
NOTES = st.lists(st.tuples(st.sampled_from(["intend", "made", "gone"]), PATHS, st.integers(1, 5)), max_size=20)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(notes=NOTES, cut=st.integers(0, 60))
def test_what_stands_is_what_was_noted_and_not_undone(tmp_path: Path, notes: list[tuple[str, str, int]], cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal, expected = Journal(path), {}
    for kind, name, inode in notes:
        cgroup = Cgroup(path=name, inode=inode if kind == "made" else None)
        getattr(journal, kind)([cgroup])
        expected.pop(name, None) if kind == "gone" else expected.update({name: cgroup})
    assert {each.key: each for each in journal.standing()} == expected
    if path.exists():
        with path.open("ab") as file:
            file.write(b'{"state":"made","object":{"kind":"cgroup","path":"/x/torn"}}'[:cut])
        assert {each.key: each for each in journal.standing()} == expected
        journal.made([Cgroup(path="/x/after")])
        assert {each.key for each in journal.standing()} == {*expected, "/x/after"}


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.intend([Cgroup(path="/x/a")])
    with journal.path.open("ab") as file:
        file.write(b"nonsense\n")
    with pytest.raises(Corrupt, match=r"journal.jsonl:2"):
        journal.standing()


def test_objects_of_another_boot_or_another_inode_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "group").mkdir()
    own = Cgroup(path=str(tmp_path / "group"), inode=(tmp_path / "group").stat().st_ino)
    assert cgroups.stands(own)
    assert cgroups.stands(own.model_copy(update={"inode": None}))
    for other in ({"inode": (own.inode or 0) + 1}, {"boot": "another"}, {"path": str(tmp_path / "none")}):
        changed = own.model_copy(update=other)
        assert not cgroups.stands(changed)
        cgroups.remove([changed])
    assert (tmp_path / "group").is_dir()


def test_a_process_is_known_by_more_than_its_number() -> None:
    here = ProcessIdentity.own()
    assert here.alive()
    assert not here.model_copy(update={"start_ticks": here.start_ticks + 1}).alive()
    assert not here.model_copy(update={"boot": "another"}).signal(9)
    assert Process(role="wires", identity=here).key == "wires"
