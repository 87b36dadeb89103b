"""The pages on the languages say what is true: their examples evaluate, and nothing in them is ignored."""

import re
from pathlib import Path

import pytest

from languages.evaluate import Source, evaluate

PAGE = (Path(__file__).parents[2] / "docs" / "languages.md").read_text()
EXAMPLES = re.findall(r"```(yaml|python)\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("language", "text"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_evaluate(language: str, text: str) -> None:
    if "home, isp" in text:
        text = "nodes: {home: , isp: , gw: , pc: {count: 2}, far: }\n" + text
    made = evaluate(Source(f"example.{language}", text, language), {"RATE": "10Mb"} if "RATE:" in text else {})
    assert made.spec.nodes and made.spec.lans and not made.warnings
