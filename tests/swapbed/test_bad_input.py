"""What a user may get wrong without anything being made: the exit code, and words that say what, where and what next."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import SwapbedError
from tests.swapbed.conftest import Cli

pytestmark = pytest.mark.usefixtures("state_dir")


GOOD = """
parameters: {DELAY: 20ms}
nodes: {a: {}, b: {}}
links: [{name: wire, endpoints: [a, b], delay: "${DELAY}"}]
"""


BAD_SOURCES = {
    "an unknown key": (GOOD.replace("links:", "lniks:"), ["lniks", "links", "bad.yml:4"]),
    "a link to an unknown node": (GOOD.replace("[a, b]", "[a, c]"), ["'c'", "bad.yml:4"]),
    "an interface used twice": (GOOD.replace("[{name: wire, endpoints: [a, b]", "[{endpoints: ['a:eth1', b]}, {endpoints: ['a:eth1', b]"),
                                 ["'eth1'", "'a'", "bad.yml:4"]),
    "malformed YAML": ("nodes: [a, b\n", ["bad.yml"]),
    "an alias that refers to itself": ("nodes: &x {a: *x}\n", ["bad.yml"]),
    "an invalid address": (GOOD.replace("delay:", "ipv4: [10.0.0.300/24, 10.0.0.2/24], delay:"), ["10.0.0.300", "bad.yml"]),
    "addresses that overlap": (GOOD.replace("delay:", "ipv4: [10.0.0.1/24, 10.0.0.1/24], delay:"), ["10.0.0.1", "twice"]),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
@pytest.mark.parametrize("verb", ["validate", "deploy"])
def test_a_bad_source_is_refused_with_its_line(cli: Cli, tmp_path: Path, state_dir: Path, what: str, verb: str) -> None:
    source, words = BAD_SOURCES[what]
    (tmp_path / "bad.yml").write_text(source)
    found = cli(verb, "bad.yml")
    assert found.returncode == 3 and found.stdout == ""
    assert found.stderr.startswith("error: ") and "Traceback" not in found.stderr
    for word in words:
        assert word in found.stderr
    assert not (state_dir / "instances").exists() and not (state_dir / "prefect").exists(), "nothing is made or started for bad input"


BAD_WORDS = {
    "no such file": (["validate", "nowhere.yml"], 3, ["nowhere.yml", "no such file"]),
    "a directory without source": (["validate", "empty"], 3, ["holds no source"]),
    "a parameter of the wrong form": (["validate", "good.yml", "-S", "DELAY"], 3, ["NAME=VALUE"]),
    "a parameter given twice": (["validate", "good.yml", "-S", "DELAY=1ms", "-S", "DELAY=2ms"], 3, ["twice"]),
    "an unknown parameter": (["validate", "good.yml", "-S", "DELLAY=1ms"], 3, ["DELLAY", "Did you mean 'DELAY'?"]),
    "a parameter of the wrong type": (["validate", "good.yml", "-S", "DELAY=soon"], 3, ["soon"]),
    "a name that is no DNS label": (["deploy", "good.yml", "--name", "not_a.label"], 3, ["not_a.label", "DNS label"]),
    "an unknown instance": (["destroy", "nobody"], 4, ["nobody", "no living instance"]),
    "an unknown instance to look at": (["inspect", "nobody"], 4, ["nobody"]),
    "an unknown instance whose records are asked for": (["record", "ls", "nobody"], 4, ["nobody", "no instance of that name"]),
    "an unknown instance to enter": (["exec", "nobody", "h1", "true"], 4, ["nobody"]),
    "an unknown command": (["deplloy"], 2, ["Did you mean 'deploy'"]),
    "an unknown option": (["validate", "good.yml", "--paramters"], 2, ["--paramters"]),
    "cp within this machine": (["cp", "here", "there"], 3, ["INSTANCE/NODE:PATH"]),
    "a picture of no known form": (["graph", "good.yml", "-w", "x.docx"], 3, [".docx", ".svg"]),
}


@pytest.mark.parametrize("what", BAD_WORDS)
def test_bad_words_are_refused(cli: Cli, tmp_path: Path, what: str) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    (tmp_path / "empty").mkdir()
    words, code, expected = BAD_WORDS[what]
    found = cli(*words)
    assert found.returncode == code, found.stderr
    assert "Traceback" not in found.stderr
    for word in expected:
        assert word in found.stderr


def test_with_json_the_error_is_the_document(cli: Cli) -> None:
    found = cli("validate", "nowhere.yml", "--format", "json")
    assert found.returncode == 3
    error = SwapbedError.from_json(json.loads(found.stdout))
    assert type(error).__name__ == "InvalidInput" and error.where == "nowhere.yml"


def test_debugging_shows_where_in_the_program(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPBED_DEBUG", "1")
    assert "Traceback" in cli("validate", "nowhere.yml").stderr


def test_not_root(tmp_path: Path, state_dir: Path) -> None:
    """Checking a template needs no root; deploying it does, and says so before anything is made."""
    (tmp_path / "good.yml").write_text(GOOD)
    code = "import os, sys; os.setgid(65534); os.setuid(65534); from swapbed.cli import main; sys.argv[0] = 'swapbed'; main()"
    for path in (tmp_path, *tmp_path.parents):
        if path != Path("/tmp") and path.is_relative_to("/tmp"):
            path.chmod(0o755)

    def nobody(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-c", code, *words], cwd=tmp_path, capture_output=True, text=True, timeout=60)

    assert nobody("validate", "good.yml").returncode == 0
    found = nobody("deploy", "good.yml")
    assert found.returncode == 6 and "root" in found.stderr and "sudo" in found.stderr


def test_every_exit_code_is_documented() -> None:
    text = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text()

    def family(kind: type[SwapbedError]) -> list[type[SwapbedError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in family(child))]

    for kind in family(SwapbedError):
        if kind.__module__ == "models.errors":
            assert f"| {kind.exit_code} |" in text, kind.__name__
