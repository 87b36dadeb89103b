"""`${…}`: names, arithmetic, units, escapes; and nothing else."""

import contextlib
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.expression import calculate, substitute
from languages.yaml_writer import escaped

VALUES = {"N": "3", "DELAY": "20ms", "RATE": "10Mb", "LOSS": "1%", "NAME": "alpha", "HALF": "0.5", "EMPTY": ""}


@pytest.mark.parametrize(("text", "result"), [
    ("${N}", "3"), ("h${N}", "h3"), ("${N * 2 + 1}", "7"), ("${(N + 1) * -2}", "-8"), ("${2 + 3 * 4 - 1}", "13"),
    ("${7 // 2} ${-7 // 2}", "3 -4"),
    ("${7 % 4}", "3"), ("${10 / 4}", "2.5"), ("${1 / 3}", "0.333333333333333"), ("${max(N, 5)}-${min(N, 5)}", "5-3"),
    ("${DELAY * 2}", "40ms"),
    ("${RATE / N}", "3.33333333333333Mb"), ("${DELAY + 5ms}", "25ms"), ("${DELAY / 5ms}", "4"), ("${LOSS * 2}", "2%"),
    ("${2 * 5Mb}", "10Mb"),
    ("${HALF + HALF}", "1"), ("${NAME}-${N}", "alpha-3"), ("$$x $HOME ${DATASTORE}/run $${N}", "$x $HOME ${DATASTORE}/run ${N}"),
    ("${GONE:-7}", "7"), ("${GONE:=a b}", "a b"), ("${N:-7}", "3"), ("${EMPTY:-x}", "x"), ("${GONE:-${N}}", "3"),
    ("plain", "plain"), ("", ""),
    ("$", "$"), ("a$", "a$")])
def test_substitution(text: str, result: str) -> None:
    assert substitute(text, VALUES) == result


@pytest.mark.parametrize(("text", "message"), [
    ("${M}", "there is no parameter 'M'"), ("${Name}", "did you mean 'NAME'?"),
    ("${NAME * 2}", "parameter 'NAME' is 'alpha', which is not a number"),
    ("${1 / 0}", "division by zero"), ("${N // 0}", "division by zero"), ("${N % 0}", "division by zero"),
    ("${N", "lacks its closing brace"),
    ("${N N}", "expected an operator or the end in '${N N}', found 'N'"), ("${N + }", "found the end"), ("${}", "found the end"),
    ("${(N}", "expected ')'"), ("${DELAY + N}", "20ms and 3 have unlike units"), ("${DELAY * DELAY}", "only one of them may have a unit"),
    ("${N / DELAY}", "expected like units"), ("${#x}", "to leave it to the shell, write $${…}"),
    ("${__import__('os')}", "is not understood"),
    ("${N.real}", "is not understood"), ("${2 ** 9}", "found '*'"), ("${max()}", "found ')'"), ("${max}", "there is no parameter 'max'"),
    ("${" + "(" * 60 + "1" + ")" * 60 + "}", "nested more than 50 deep"), ("${" + "-" * 60 + "1}", "nested more than 50 deep"),
    ("${" + "1+" * 600 + "1}", "longer than 1000 characters"), ("${" + "*".join(["1e30"] * 20) + "}", "out of range")])
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError) as error:
        substitute(text, VALUES)
    assert message in str(error.value)


def test_a_text_cannot_explode() -> None:
    with pytest.raises(ValueError, match="longer than 1 MiB"):
        substitute("${BIG}" * 1000, {"BIG": "x" * 60_000})


numbers = st.integers(0, 99).map(str)
trees = st.recursive(numbers, lambda inner: st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "//", "%"]), inner).map(
    lambda t: f"({t[0]} {t[1]} {t[2]})"), max_leaves=12)


@given(trees)
@settings(max_examples=300)
def test_arithmetic_is_pythons(tree: str) -> None:
    """Against Python's own evaluation on fractions, as the independent model."""
    try:
        model = eval(re.sub(r"(\d+)", r"Fraction(\1)", tree), {"Fraction": Fraction})
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            calculate(tree, {})
        return
    assert calculate(tree, {}).number == model


@given(st.lists(st.tuples(st.sampled_from(["+", "-", "*", "//", "%"]), st.integers(1, 20)), max_size=8), st.integers(0, 50))
def test_precedence_is_pythons(rest: list[tuple[str, int]], first: int) -> None:
    text = f"{first}" + "".join(f" {sign} {number}" for sign, number in rest)
    assert calculate(text, {}).number == eval(text)


@given(st.text(alphabet="${}N+-*/%()0123456789. :=msM\"'", max_size=40))
@settings(max_examples=500)
def test_any_text_substitutes_or_raises_valueerror(text: str) -> None:
    with contextlib.suppress(ValueError):
        substitute(text, VALUES)


@given(st.text(alphabet="${}ab \n", max_size=30))
def test_what_the_writer_escapes_reads_as_it_was(text: str) -> None:
    assert substitute(escaped(text), {}) == text
