"""Files from a git repository or an S3 bucket in a template's datastore: fetched once, pinned, and refused where they are bad."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import swapbed
from languages.convert import convert
from languages.evaluate import Source, evaluate
from models.errors import InvalidInput, NotFound, StoreProblem, SwapbedError
from storage.s3_server import S3Server, start_juicefs
from swapbed import templates
from swapbed.exchange import template_archive
from tests.swapbed.conftest import Cli

SOURCE = """\
nodes: {a: }
externals:
  tools: {git: REPOSITORY, revision: REVISION}
"""
QUIET = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@t", "GIT_COMMITTER_NAME": "t",
         "GIT_COMMITTER_EMAIL": "t@t"}


def git(repository: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(repository), *words], env={**os.environ, **QUIET}, check=True, capture_output=True,
                          text=True).stdout.strip()


def committed(repository: Path, **files: str) -> str:
    for name, content in files.items():
        (repository / name).write_text(content)
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "x")
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    place = tmp_path / "repository"
    (place / "sub").mkdir(parents=True)
    git(place, "init", "-qb", "main")
    (place / "sub" / "run.sh").write_text("#!/bin/sh\n")
    (place / "sub" / "run.sh").chmod(0o755)
    os.symlink("sub/run.sh", place / "inside")
    committed(place, data="one\n")
    git(place, "tag", "v1")
    return place


@pytest.fixture
def study(tmp_path: Path, state_dir: Path) -> Path:
    home = tmp_path / "study"
    (home / "datastore").mkdir(parents=True)
    (home / "datastore" / "own").write_text("own\n")
    return home


def written(study: Path, repository: Path | str, revision: str, more: str = "") -> Path:
    (study / "study.yml").write_text(SOURCE.replace("REPOSITORY", str(repository)).replace("REVISION}", f"{revision}{more}}}"))
    return study


def paths(template: str) -> set[str]:
    return {file.path for file in templates.show(template).files if file.kind != "directory"}


def test_a_repository_at_a_revision_is_pinned(study: Path, repository: Path, tmp_path: Path, cli: Cli) -> None:
    first = git(repository, "rev-parse", "HEAD")
    made = templates.create(written(study, "../repository", "main")).template
    assert paths("study") == {"own", "tools/data", "tools/inside", "tools/sub/run.sh"}
    assert [(pin["at"], pin["commit"]) for pin in made.externals] == [("tools", first)]
    assert first[:12] in cli("template", "show", "study").stdout
    second = committed(repository, data="two\n")
    work, _ = templates.checkout("study", tmp_path / "study2")
    assert not (work / "datastore" / "tools").exists() and (work / "datastore" / "own").exists()
    assert not templates.commit(work).new, "the branch went on, and the pin holds"
    (work / "datastore" / "own").write_text("changed\n")
    child = templates.commit(work)
    assert child.new and child.template.externals == made.externals
    again = cli("template", "commit", str(work), "--refetch", "--format", "json").parsed
    assert again["new"] and templates.find("study").externals[0]["commit"] == second
    assert [(one.path, one.change) for one in templates.diff("study@2", "study@3").files] == [("tools/data", "changed")]


def test_the_template_needs_its_sources_no_more(study: Path, repository: Path, tmp_path: Path) -> None:
    made = templates.create(written(study, repository, "v1", ", path: sub")).template
    repository.rename(tmp_path / "gone")
    assert paths("study") == {"own", "tools/run.sh"}
    place, _ = templates.checkout("study", tmp_path / "work")
    (place / "datastore" / "own").write_text("x")
    assert templates.commit(place).template.number == 2
    archive = template_archive.export("study", tmp_path / "study.tar")
    come = template_archive.import_(archive).template
    assert come.digest == templates.find("study").digest != made.digest, "the hash is that of its files"
    with pytest.raises(InvalidInput, match="cannot fetch"):
        templates.commit(place, refetch=True)


def test_any_name_of_a_revision_gives_the_same_files(study: Path, repository: Path) -> None:
    commit = git(repository, "rev-parse", "v1")
    committed(repository, data="later\n")
    trees = {templates.create(written(study, address, revision), name=f"s{number}").template.externals[0]["tree"]
             for number, (address, revision) in enumerate(
                 [(repository, commit), (repository, commit[:9]), (repository, "v1"), (f"file://{repository}", commit)])}
    assert len(trees) == 1


def test_built_in_python(study: Path, repository: Path) -> None:
    net = swapbed.topology("built")
    net.node("a")
    net.external("tools", git=str(repository), revision="v1")
    assert {pin["at"] for pin in templates.create(net).template.externals} == {"tools"}
    with pytest.raises(InvalidInput, match="would lie in"):
        net.external("tools/more", git="x", revision="y")
    (study / "study.py").write_text(f"def build(net):\n    net.node('a')\n    net.external('t', git={str(repository)!r}, revision='v1')\n")
    assert "t/data" in {file.path for file in templates.show(templates.create(study / "study.py").template.id).files}


@pytest.mark.parametrize("language", ["yaml", "python"])
def test_a_conversion_keeps_them(study: Path, language: str) -> None:
    source = Source.read(written(study, "../repository", "v1", ", path: sub") / "study.yml")
    converted = convert(source, language)
    assert evaluate(Source("study", converted.text, language)).externals == evaluate(source).externals != ()
    assert any("external 'tools'" in lost for lost in convert(source, "ns").lost)


BAD_SOURCES = {
    "no revision": ("{t: {git: x}}", "needs a revision"),
    "both": ("{t: {git: x, revision: y, s3: 's3://b/p'}}", "either git"),
    "neither": ("{t: {}}", "either git"),
    "a place that leads out": ("{../t: {git: x, revision: y}}", "no path within it"),
    "an absolute place": ("{/t: {git: x, revision: y}}", "no path within it"),
    "a path that leads out": ("{t: {git: x, revision: y, path: a/../../b}}", "no path within it"),
    "an option as address": ("{t: {git: --upload-pack=reboot, revision: y}}", "neither an address"),
    "an option as revision": ("{t: {git: x, revision: --all}}", "neither an address"),
    "one in the other": ("{t: {git: x, revision: y}, t/u: {git: x, revision: y}}", "would lie in"),
    "not an S3 URL": ("{t: {s3: 'http://b/p'}}", "s3://BUCKET"),
    "an unknown key": ("{t: {git: x, revison: y}}", "revision"),
}


@pytest.mark.parametrize("what", BAD_SOURCES)
def test_a_bad_source_is_refused_with_its_line(what: str, study: Path, cli: Cli) -> None:
    said, words = BAD_SOURCES[what]
    (study / "study.yml").write_text(f"nodes: {{a: }}\nexternals:\n  {said}\n")
    found = cli("template", "create", str(study))
    assert found.returncode == 3 and words in found.stderr and "study.yml:" in found.stderr
    assert not list(templates.log())


def test_what_cannot_be_fetched_is_said(study: Path, repository: Path, tmp_path: Path) -> None:
    for address, revision, more, kind, words in (
            (repository, "v9", "", NotFound, "no revision 'v9'"), (repository, "0" * 40, "", NotFound, "no revision"),
            (repository, "v1", ", path: nowhere", NotFound, "no directory 'nowhere'"),
            (repository, "v1", ", path: data", NotFound, "no directory 'data'"),
            (tmp_path / "none", "v1", "", InvalidInput, "cannot fetch"), ("http://127.0.0.1:1/x", "v1", "", InvalidInput, "cannot fetch"),
            ("ext::sh", "v1", "", InvalidInput, "cannot fetch")):
        with pytest.raises(kind, match=words):
            templates.create(written(study, address, revision, more))
    (study / "datastore" / "tools").mkdir()
    with pytest.raises(InvalidInput, match="of its own"):
        templates.create(written(study, repository, "v1"))
    assert not list(templates.log())


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../outside"])
def test_links_that_lead_out_are_refused(study: Path, repository: Path, target: str) -> None:
    os.symlink(target, repository / "link")
    committed(repository)
    with pytest.raises(InvalidInput, match="'link' leads out"):
        templates.create(written(study, repository, "main"))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A server with a bucket `data`."""
    server = start_juicefs(tmp_path_factory.mktemp("external"), "swapbed-tests", "not-a-secret-1234")
    client = boto3.client("s3", endpoint_url=server.endpoint, aws_access_key_id=server.access_key, region_name="us-east-1",
                          aws_secret_access_key=server.secret_key, config=Config(s3={"addressing_style": "path"}))
    client.create_bucket(Bucket="data")
    for key, content in (("traces/a.bin", b"a" * 20_000_000), ("traces/deep/b", b"b"), ("other/c", b"c")):
        client.put_object(Bucket="data", Key=key, Body=content)
    yield server
    server.stop()


def test_what_is_below_a_prefix_is_pinned(study: Path, bucket: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket.secret_key)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # which remembers what it found at first

    def create(url: str) -> templates.Committed:
        (study / "study.yml").write_text(f"nodes: {{a: }}\nexternals:\n  in/t: {{s3: '{url}', endpoint: '{bucket.endpoint}'}}\n")
        return templates.create(study)

    for url, kind, words in (("s3://data/none", NotFound, "no objects"), ("s3://nobody/x", StoreProblem, "bucket")):
        with pytest.raises(kind, match=words):
            create(url)
    made = create("s3://data/traces/").template
    files = {file.path: file.size_bytes for file in templates.show("study").files if file.kind == "file"}
    assert files == {"own": 4, "in/t/a.bin": 20_000_000, "in/t/deep/b": 1} and made.externals[0]["tree"]
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-000")
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    with pytest.raises(SwapbedError, match="credentials"):
        create("s3://data/other")
