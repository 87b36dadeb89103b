"""Programs as Emulab's users write them: accepted, with the rows that they name (`# rows:` lines), and the same after a conversion."""

from __future__ import annotations

import re
from math import isclose
from pathlib import Path

import pytest

from languages.convert import TARGETS, convert
from languages.emulab_rows import emulab_rows
from languages.evaluate import Source, evaluate

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.ns"))
PAIR = re.compile(r"(?:^| )([a-z_]+)=")


def asked(program: Path) -> list[tuple[str, dict[str, str]]]:
    """(table, columns) of every `# rows: TABLE COLUMN=VALUE …`; a value goes on to the next COLUMN=."""
    found = []
    for line in program.read_text().splitlines():
        if line.startswith("# rows: "):
            table, _, rest = line.removeprefix("# rows: ").partition(" ")
            pieces = PAIR.split(rest)[1:]
            found.append((table, dict(zip(pieces[::2], pieces[1::2], strict=True))))
    return found


def same(one: str, other: str) -> bool:
    try:
        return isclose(float(one), float(other), rel_tol=1e-5, abs_tol=1e-9)
    except ValueError:
        return one == other


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_the_rows_it_names_are_there(program: Path) -> None:
    rows = emulab_rows(evaluate(Source.read(program)).spec)
    for table, columns in asked(program):
        fitting = [row for row in rows[table] if all(same(row.get(column, ""), value) for column, value in columns.items())]
        assert fitting, f"{table} has no row with {columns}"
    assert len(asked(program)) >= 3


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_every_conversion_that_loses_nothing_keeps_the_rows(program: Path) -> None:
    source = Source.read(program)
    rows = emulab_rows(evaluate(source).spec)
    for target in ("ns", "yaml", "python"):
        made = convert(source, target)
        again = evaluate(Source(f"{program.stem}{TARGETS[target]}", made.text, target)).spec
        lost = [sentence for sentence in made.lost if not sentence.startswith("parameters:")]
        assert lost or emulab_rows(again) == rows, target


def test_a_startup_of_several_lines_has_a_word_in_ns() -> None:
    source = Source.read(Path(__file__).parent / "programs" / "old_machines.ns")
    made = convert(source, "ns")
    assert not made.lost and made.text.count("tb-set-node-startup") == 1
