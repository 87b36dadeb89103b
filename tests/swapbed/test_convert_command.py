"""`swapbed convert`: the text on stdout and nothing else, what is lost on stderr."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from swapbed.cli import main, options
from swapbed.present.output import Format

CASES = Path(__file__).parents[1] / "languages" / "ns" / "conformance"
YAML = 'nodes: {a: {cpus: 1}, b: {}}\nlinks: [{name: wire, endpoints: [a, b], delay: 20ms}]\n'


@pytest.fixture
def convert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.yml").write_text(YAML)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["swapbed", "convert", *words])
        monkeypatch.setattr(options, "chosen", Format.TABLE)
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("name", ["03_tcl", "09_runs"])
def test_rows_of_an_ns_file_are_printed_as_json(convert, name):
    code, out, _ = convert(str(CASES / f"{name}.ns"), "--to", "emulab-rows")
    expected = json.loads((CASES / f"{name}.json").read_text())
    assert code == 0
    assert {table: len(rows) for table, rows in json.loads(out).items()} == {table: len(rows) for table, rows in expected.items()}


def test_what_is_lost_is_said_apart(convert):
    code, out, err = convert("x.yml", "--to", "ns")
    assert code == 0
    assert "set wire [$ns duplex-link $a $b * 20ms DropTail]" in out
    assert err == "lost: node 'a': cpus (1.0) is lost\n"


def test_it_may_be_written_to_a_file_and_told_as_json(convert, tmp_path):
    code, out, _ = convert("x.yml", "--to", "python", "--write", "y.py", "--format", "json")
    assert code == 0
    assert json.loads(out)["text"] == (tmp_path / "y.py").read_text()


def test_a_refused_source_writes_nothing(convert, tmp_path):
    (tmp_path / "bad.ns").write_text("set ns [new Simulator]\nset a [$ns frob]\n$ns run\n")
    code, out, err = convert("bad.ns", "--to", "yaml", "--write", "y.yml")
    assert code == 3
    assert out == ""
    assert "bad.ns:2" in err
    assert not (tmp_path / "y.yml").exists()
