"""What the ns tests say in one word."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from languages.evaluate import Evaluation, Source, evaluate
from models.errors import InvalidInput

PROLOGUE = "source tb_compat.tcl\nset ns [new Simulator]\n"  # so a body's first line is line 3
PAIR = "set a [$ns node]\nset b [$ns node]\nset l [$ns duplex-link $a $b 10Mb 20ms DropTail]\n"  # lines 3 to 5
Evaluate = Callable[..., Evaluation]


@pytest.fixture(scope="session")
def ns() -> Evaluate:
    """Evaluates a body between the usual first and last lines; keywords are parameter values."""

    def evaluated(body: str, **values: str) -> Evaluation:
        return evaluate(Source("test.ns", f"{PROLOGUE}{body}\n$ns run\n", "ns"), values)

    return evaluated


@pytest.fixture(scope="session")
def pair(ns: Evaluate) -> Evaluate:
    """As `ns`, after two nodes a and b and the link l between them; the body begins at line 6."""
    return lambda body, **values: ns(PAIR + body, **values)


@pytest.fixture
def refusal(ns: Evaluate) -> Callable[..., InvalidInput]:
    """The error of a body that must be refused; the body begins at line 3, or 6 with the pair."""

    def refused(body: str, pair: bool = False, **values: str) -> InvalidInput:
        with pytest.raises(InvalidInput) as caught:
            ns((PAIR if pair else "") + body, **values)
        return caught.value

    return refused
