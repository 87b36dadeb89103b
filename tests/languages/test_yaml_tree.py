"""YAML text to a tree with lines, and texts that try to do harm."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.yaml_reading import plain
from languages.yaml_tree import Items, Scalar, Table, parse
from models.errors import InvalidInput


def test_everything_knows_its_line() -> None:
    tree = parse("f", "a: 1\nb:\n  - x\n  - y: 2\n")
    assert isinstance(tree, Table) and tree.key_lines == {"a": 1, "b": 2}
    items = tree.items["b"]
    assert isinstance(items, Items) and [item.line for item in items.items] == [3, 4]


def test_scalars_are_their_text() -> None:
    """YAML 1.1 would make False, 90, 10, 1.0 and a date of these."""
    assert plain(parse("f", "[no, 1:30, 012, 1.0, 2020-01-01, 'null', null, ~]")) == ["no", "1:30", "012", "1.0", "2020-01-01",
    "null", None, None]


def test_aliases_and_merge_keys() -> None:
    tree = parse("f", "base: &b {x: 1, y: 2}\nother: &o {y: 3, z: 4}\nuse: {<<: *b, y: 9}\nboth: {<<: [*o, *b]}\nagain: *b\n")
    assert plain(tree) == {"base": {"x": "1", "y": "2"}, "other": {"y": "3", "z": "4"}, "use": {"y": "9", "x": "1"},
                           "both": {"y": "3", "z": "4", "x": "1"}, "again": {"x": "1", "y": "2"}}


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n" + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10))


@pytest.mark.parametrize(("text", "where", "message"), [
    ("a: [1,\nb: 2", "f:2", "malformed YAML"), ("a: [1,\n  2,\n  3\n", "f:3", "(begun on line 1)"),
    ("a: b: c", "f:1", "malformed YAML: mapping values are not allowed"),
    ("x: 1\n\ty: 2", "f:2", "malformed YAML"),
    ("ok: 1\nbad: \x01", "f", "malformed YAML"),
    ("a: 1\nb: 2\na: 3", "f:3", "the key 'a' stands here for the second time (first on line 1)"),
    (BOMB, "f:5", "more than 200000 values, aliases written out"),
    ("a: &x\n  - *x", "f:2", "'*x' refers to the part it stands in"),
    ("a: &x {b: &y {c: *x}}", "f:1", "'*x' refers to the part it stands in"),
    ("a: *nowhere", "f:1", "'*nowhere' refers to no anchor before it"),
    ("a: !!python/object/apply:os.system [id]", "f:1", "has no meaning here"),
    ("a: !include x", "f:1", "the tag '!include' has no meaning here"),
    ("a: 1\n---\nb: 2", "f:2", "a second document begins here"),
    ("", "f", "the file is empty"), ("# nothing", "f", "the file is empty"), ("null", "f", "the file is empty"),
    ("[" * 5000, "f:1", "nested more than 40 deep"), ("{a: " * 60 + "1" + "}" * 60, "f:1", "nested more than 40 deep"),
    ("[a, b]: 1", "f:1", "a list cannot be a key"), ("<<: 3", "f:1", "'<<' merges mappings only"),
    ("a" * (1 << 20) + "b", "f", "the file is over 1 MiB"),
])
def test_harmful_and_broken_texts_are_refused_at_their_line_and_at_once(text: str, where: str, message: str) -> None:
    began = time.process_time()
    with pytest.raises(InvalidInput) as error:
        parse("f", text)
    assert error.value.where is not None and error.value.where.startswith(where)
    assert message in error.value.what
    assert time.process_time() - began < 2


@given(st.text(alphabet="ab:-[]{}&*!<>'\"#|% \n\t,?~0", max_size=60))
@settings(max_examples=500)
def test_any_text_parses_or_is_refused(text: str) -> None:
    try:
        assert isinstance(parse("f", text), (Scalar, Items, Table))
    except InvalidInput as error:
        assert error.where is not None and error.where.startswith("f")


def test_a_large_file_is_read_quickly() -> None:
    began = time.process_time()
    parse("f", "nodes:\n" + "".join(f"  n{i}: {{cpus: 1}}\n" for i in range(20_000)))
    assert time.process_time() - began < 5
