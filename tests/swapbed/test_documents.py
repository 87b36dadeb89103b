"""What README and the tour tell people to write works as it stands there."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from languages.evaluate import Source, evaluate
from swapbed.cli.tree import app

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *(ROOT / "docs" / name for name in ("tour.md", "command-line.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_templates_are_valid_and_programs_are_programs(page: Path) -> None:
    for source in blocks(page, "yaml"):
        assert evaluate(Source.of(f"{page.name}.yml", source.encode())).warnings == ()
    for program in blocks(page, "python"):
        compile(program, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    """Of commands with options, the options too."""
    text = page.read_text()
    found = set(re.findall(r"(?:^|[$`|] ?)swapbed ([a-z]+(?: [a-z]+)?)((?: [^\n`#]*)?)", text, re.MULTILINE))
    for words, rest in found:
        command = get_command(app)
        for word in words.split():
            if hasattr(command, "commands"):
                assert word in command.commands, f"{page.name}: swapbed {words}"
                command = command.commands[word]
        options = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts, "--help")}
        for option in re.findall(r"(?<=\s)(--[a-z-]+)", rest):
            assert option in options, f"{page.name}: swapbed {words} {option}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target
