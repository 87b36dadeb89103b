"""Sources: files to text and language."""

from pathlib import Path

import pytest

from languages.evaluate import SOURCE_LIMIT_BYTES, Source, evaluate, language_of, parameters_of
from models.errors import InvalidInput


@pytest.mark.parametrize(("name", "language"), [
    ("a.yml", "yaml"), ("a.clab.yaml", "yaml"), ("a.py", "python"),
    ("a.ns", "ns"), ("a.TCL", "ns"), ("a.rspec", "rspec"), ("a.xml", "rspec")])
def test_the_suffix_names_the_language(name: str, language: str) -> None:
    assert language_of(name, "") == language


@pytest.mark.parametrize(("text", "language"), [
    ("# c\nset ns [new Simulator]\n", "ns"), ('"""doc"""\n\ndef build(net):\n    pass\n', "python"), ("<?xml version='1.0'?>", "rspec"),
    ("  <rspec/>", "rspec"), ("# x\nname: a\ntopology:\n  nodes: {}\n", "yaml"), ("nodes:\n  a:\n", "yaml")])
def test_else_the_content_does(text: str, language: str) -> None:
    assert language_of("experiment", text) == language


def test_an_unknown_file_is_refused_with_the_known_suffixes() -> None:
    with pytest.raises(InvalidInput, match="the language of this file is not recognized. Expected a name that ends in one of .yml"):
        language_of("notes.txt", "hello")


def test_a_file_is_read_with_its_directory(tmp_path: Path) -> None:
    file = tmp_path / "x.yml"
    file.write_bytes(b"\xef\xbb\xbfnodes: {a: }\n")
    source = Source.read(file)
    assert source.directory == tmp_path and source.name == str(file) and evaluate(source).spec.nodes[0].name == "a"


@pytest.mark.parametrize(("data", "where", "message"), [
    (b"nodes:\n  \xff: 1\n", "f.yml:2", "the source is not UTF-8 text (byte 0xff)"), (b"a: 1\nb: \0\n", "f.yml:2", "holds a NUL byte"),
    (b"x" * (SOURCE_LIMIT_BYTES + 1), "f.yml", "the source is over 4 MiB")])
def test_what_is_no_text_is_refused(data: bytes, where: str, message: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Source.of("f.yml", data)
    assert error.value.where == where and message in str(error.value)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no such file"):
        Source.read(tmp_path / "gone.yml")
    with pytest.raises(InvalidInput, match="the file cannot be read: Is a directory"):
        Source.read(tmp_path)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InvalidInput, match="unknown language 'perl'. Expected one of yaml, python"):
        parameters_of(Source("x", "", "perl"))
