"""Every conformance program gives Emulab's own rows, or is refused as Emulab refuses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from languages.emulab_rows import emulab_rows
from languages.evaluate import Source, evaluate
from models.errors import InvalidInput

CASES = Path(__file__).parent / "conformance"
SHARED = Path(__file__).parents[4] / "shared" / "conformance" / "ns"
PROGRAMS = sorted(CASES.glob("*.ns"))
WRAPPER = re.compile(r"\((.*) ; /usr/local/etc/emulab/startcmddone \$\?\)")
NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def expected(program: Path) -> dict:
    return json.loads(program.with_suffix(".json").read_text())


def meaning(column: str, text: str) -> str | float:
    """Without spelling: numbers as numbers, without Emulab's quoting and the wrapper that reports a start command's end."""
    text = WRAPPER.sub(r"\1", text)
    if column == "dir":
        return text.removeprefix("{").removesuffix("}")
    return float(text) if NUMBER.fullmatch(text) else text


def meanings(tables: dict[str, list[dict[str, str]]]) -> dict[str, list[list[tuple[str, str | float]]]]:
    found = {
        table: [sorted((c, m) for c, t in row.items() if (m := meaning(c, t)) != "") for row in rows] for table, rows in tables.items()
    }
    return {table: sorted(rows, key=repr) for table, rows in found.items()}


@pytest.mark.parametrize("program", [p for p in PROGRAMS if "reject" not in expected(p)], ids=lambda p: p.stem)
def test_rows_are_those_of_emulab(program: Path):
    rows = emulab_rows(evaluate(Source.read(program)).spec)
    assert meanings(rows) == meanings(expected(program))


@pytest.mark.parametrize("program", [p for p in PROGRAMS if "reject" in expected(p)], ids=lambda p: p.stem)
def test_what_emulab_refuses_is_refused_with_its_line(program: Path):
    with pytest.raises(InvalidInput) as error:
        evaluate(Source.read(program))
    lines = program.read_text().splitlines()
    culprit = 3 if program.stem == "29_no_run" else 4
    assert error.value.where == f"{program}:{culprit}", lines
    assert len(error.value.what) > 10


def test_rows_survive_a_spec_that_was_stored():
    """They are derived from the spec alone."""
    for program in PROGRAMS:
        if "reject" not in expected(program):
            spec = evaluate(Source.read(program)).spec
            assert emulab_rows(type(spec).model_validate_json(spec.model_dump_json())) == emulab_rows(spec)


def test_cases_are_their_originals_where_those_are_at_hand():
    if SHARED.is_dir():
        assert {p.name: p.read_bytes() for p in CASES.iterdir()} == {p.name: p.read_bytes() for p in SHARED.iterdir()}
