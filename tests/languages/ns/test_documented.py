"""docs/ns.md lists every command there is."""

from __future__ import annotations

from pathlib import Path

from languages.ns import activity, lanlink, node, program, simulator, traffic
from languages.ns.commands import COMMANDS, FORBIDDEN
from languages.ns.ignored import IGNORED_CLASSES
from languages.ns.objects import NsObject

PAGE = (Path(__file__).parents[3] / "docs" / "ns.md").read_text()
CLASSES = [c for module in (activity, lanlink, node, program, simulator, traffic) for c in vars(module).values()
           if isinstance(c, type) and issubclass(c, NsObject) and c is not NsObject]
PLAIN = {
    "new",
    "source",
    "puts",
    "clock",
    "unknown",
    "swapbed::name_fresh",
    "Agent",
    "Application",
    "Node",
    "Queue",
    "Queue/RED",
    "Queue/DropTail",
}


def said(word: str) -> bool:
    """As a word of its own in code."""
    return any(f"{before}{word}{after}" in PAGE for before in "` " for after in "` ,]")


def test_commands_and_variables_of_objects():
    words = {word for kind in CLASSES for word in (*kind.commands, *kind.ignored, *kind.settings)} - {"*"}
    assert [word for word in sorted(words) if not said(word)] == []


def test_commands_beside_objects():
    words = {*COMMANDS, *IGNORED_CLASSES} - PLAIN - set(FORBIDDEN) - {w for w in COMMANDS if w.startswith("Agent/TCP/")}
    assert [word for word in sorted(words) if not said(word)] == []
