"""A record leaves its installation in three forms, and comes back from each with the same hash, template and notes, wherever that is."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate

import swapbed
from models.database import engine
from models.errors import Conflict, Corrupt, InvalidInput, NotFound, SwapbedError
from models.settings import settings
from swapbed import deletion, record_verbs, templates
from swapbed.metadata import history
from tests.swapbed.conftest import Cli

EXPERIMENT = """
datastore: files
parameters: {COUNT: {default: 2, type: integer, description: how many takeaway}}
nodes: {a: {}, b: {}}
links: [{name: wire, endpoints: [a, b], delay: 1ms}]
agents:
  pinger:
    node: a
    command: "cat $DATASTORE/greeting; ping -c $COUNT -i 0.1 b; echo RESULT count $COUNT;
              cd $ARCHIVE; touch \\"$(printf 'na\\\\357ve')\\"; ln -s /etc/passwd outside; mkdir empty"
timeline: {0s: pinger run}
"""


@pytest.fixture(scope="module")
def exported(prefect_server: str, _session_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with the record of a real run in each form, twice, made by the session's installation."""
    home = tmp_path_factory.mktemp("exported")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SWAPBED_STATE_DIR", str(_session_directory))
        _forget()
        (home / "takeaway" / "files").mkdir(parents=True)
        (home / "takeaway" / "takeaway.yml").write_text(EXPERIMENT)
        (home / "takeaway" / "files" / "greeting").write_text("hello\n")
        with swapbed.deploy(home / "takeaway", name="takeaway", COUNT=3) as net:
            net.wait("idle", timeout_s=60)
            record = swapbed.Record(record_verbs.of_run(net.stop().id))
        for subject, note in (("record:takeaway", "good"), ("run:takeaway/1", "first"), ("instance:takeaway", "mine"),
                              ("template:takeaway", "t")):
            swapbed.annotate(subject, quality="bad")
            swapbed.annotate(subject, quality=note)
        for name in ("a", "b"):
            record.export(home / f"{name}.tar.gz")
            record.export(home / f"{name}.tar")
            record.export(home / f"{name}.dir")
            record.export(home / f"{name}.crate", "rocrate")
            record.export(home / f"{name}.crate.tar", "rocrate")
        (home / "root").write_text(record.known.row.root or "")
    yield home
    _forget()


def _forget() -> None:
    settings.cache_clear()
    engine.cache_clear()


FORMS = ("a.tar", "a.tar.gz", "a.dir", "a.crate", "a.crate.tar")


def _contents(directory: Path) -> dict[str, bytes | str]:
    return {str(path.relative_to(directory)): str(path.readlink()) if path.is_symlink() else path.read_bytes() if path.is_file() else ""
            for path in directory.rglob("*")}


def test_the_same_record_twice_gives_the_same_bytes(exported: Path) -> None:
    for form in FORMS:
        one, two = exported / form, exported / form.replace("a.", "b.")
        assert _contents(one) == _contents(two) if one.is_dir() else one.read_bytes() == two.read_bytes(), form


@pytest.mark.parametrize("form", FORMS)
def test_it_comes_back_elsewhere_with_hash_template_and_notes(exported: Path, form: str, tmp_path: Path, state_dir: Path, cli: Cli) -> None:
    said = cli("record", "import", str(exported / form), "--format", "json").parsed
    root = (exported / "root").read_text()
    assert (said["name"], said["root"], said["state"], said["results"]) == ("takeaway/1", root, "final", {"count": "3"})
    assert said["new"] and said["added"] == {"records": 1, "templates": 1, "checkpoints": 0, "notes": 4}
    record = swapbed.record("takeaway/1")
    assert b"3 received" in record.files["nodes/a/logs/pinger/1.out"] and record.known.row.imported_from
    assert [change.after for change in history("record:takeaway")] == ["bad", "good"]
    subjects = ("run:takeaway/1", "instance:takeaway", "template:takeaway@1")
    assert [swapbed.notes(subject)["quality"] for subject in subjects] == ["first", "mine", "t"]
    place, row = templates.checkout("takeaway", tmp_path / "work")
    assert (place / "files" / "greeting").read_text() == "hello\n"
    assert row.digest == json.loads(record.files["template.json"])["digest"]
    assert swapbed.import_record(exported / form).id == record.id, "a second time, it changes nothing"
    assert len(swapbed.records()) == 1 and len(history("record:takeaway")) == 2
    said = cli("record", "import", str(exported / form), "--format", "json").parsed
    assert (said["id"], said["new"]) == (record.id, False) and not any(said["added"].values())
    again = cli("record", "import", str(exported / form))
    assert (again.returncode, again.stderr.strip()) == (0, "nothing changed: this record was here already") and record.id in again.stdout
    assert "takeaway/1" in cli("search", "COUNT = 3 and quality = good").stdout


def test_what_happened_in_it_can_be_looked_at_where_it_comes_to(exported: Path, state_dir: Path, cli: Cli) -> None:
    record = swapbed.import_record(exported / "a.tar")
    told = cli("event", "ls", "takeaway").stdout
    assert told == cli("event", "ls", "takeaway/1").stdout and "pinger run  fired (timeline)" in told and "exit code 0" in told
    assert [event.kind for event in swapbed.events("takeaway")] == [event.kind for event in record.events] and "run-ended" in told
    assert json.loads(cli("event", "ls", "takeaway", "--format", "json", "--since", "1").stdout.splitlines()[0])["run"] == 1
    assert cli("logs", "takeaway", "pinger").stdout.encode() == record.files["nodes/a/logs/pinger/1.out"]
    assert "Did you mean 'pinger'" in cli("logs", "takeaway/1", "pingr").stderr
    shown = cli("run", "show", "takeaway", "--format", "json").parsed
    assert (shown["template"], shown["record"], shown["parameters"]) == ("takeaway@1", record.id, {"COUNT": "3"})
    assert "COUNT=3" in cli("run", "ls", "takeaway").stdout and record.id in cli("run", "show", "takeaway/1").stdout
    assert cli("checkpoint", "ls", "takeaway", "--format", "json").parsed == []
    for words in (("event", "ls", "takeaway/2"), ("run", "show", "takeaway/2"), ("logs", "takeaway", "pinger", "--run", "2")):
        assert "no such run" in cli(*words).stderr
    assert "Did you mean 'takeaway'" in cli("event", "ls", "takeway").stderr
    assert "has ended" in cli("inspect", "takeaway").stderr and "record ls takeaway" in cli("inspect", "takeaway").stderr
    deletion.delete_(f"record:{record.id}")
    assert "expunged" in cli("event", "ls", "takeaway").stderr and cli("logs", "takeaway", "pinger").returncode == 4


def test_a_crate_says_what_ran_with_what_and_what_came_of_it(exported: Path) -> None:
    crate = ROCrate(exported / "a.crate")
    workflow, run = crate.mainEntity, crate.get("#run")
    assert {"ComputationalWorkflow", "SoftwareSourceCode"} <= set(workflow.type) and workflow.id == "source/takeaway.yml"
    assert run["instrument"] is workflow and run["actionStatus"].endswith("CompletedActionStatus")
    (value,) = run["object"]
    assert (value["name"], value["value"], value["exampleOfWork"]["description"]) == ("COUNT", "3", "how many takeaway")
    assert ("count", "3") in [(one.get("name"), one.get("value")) for one in run["result"]]
    assert crate.root_dataset["identifier"] == f"blake3:{(exported / 'root').read_text()}"
    assert {one.id.rsplit("/wfrun/")[-1] for one in crate.root_dataset["conformsTo"]} >= {"process/0.5", "workflow/0.5"}
    files = {path: content for path, content in _contents(exported / "a.crate").items() if isinstance(content, bytes)}
    listed = {unquote(one.id, errors="surrogateescape"): one for one in crate.get_by_type("File")}
    assert set(listed) == set(files) - {"ro-crate-metadata.json"}
    assert all(listed[path]["sha256"] == hashlib.sha256(content).hexdigest() for path, content in files.items() if path in listed)


def test_a_zip_holds_a_crate_but_not_every_name(exported: Path, tmp_path: Path, state_dir: Path) -> None:
    record = swapbed.import_record(exported / "a.tar")
    with pytest.raises(InvalidInput, match="'zip' is no form"):
        record.export(tmp_path / "x", "zip")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="UTF-8"):
        record.export(tmp_path / "x.zip")
    assert list(tmp_path.iterdir()) == [], "nothing half-made stays"
    clean = record.remove("nodes/a/archive/" + "na\udcefve")
    assert "na\\xefve" in record.diff(clean)._repr_html_() and "the same happened" in clean.diff(clean)._repr_html_()
    clean.export(tmp_path / "x.zip")
    clean.export(tmp_path / "y.zip")
    assert (tmp_path / "x.zip").read_bytes() == (tmp_path / "y.zip").read_bytes()
    assert "ro-crate-metadata.json" in zipfile.ZipFile(tmp_path / "x.zip").namelist()
    deletion.delete_(f"record:{clean.id}")
    again = swapbed.import_record(tmp_path / "x.zip")
    assert (again.id, again.known.row.revision, again.known.row.root) == (clean.id, 2, clean.known.row.root)


def test_what_was_deleted_comes_back_and_can_be_replayed(exported: Path, installation: Path) -> None:
    deletion.delete_("template:takeaway", subtree=True)
    with pytest.raises(NotFound):
        swapbed.record("takeaway").files["record.json"]
    record = swapbed.import_record(exported / "a.crate")
    assert record.known.row.root == (exported / "root").read_text()
    again = record.replay()
    assert again.said.replay_of == record.known.row.root and again.parameters == record.parameters == {"COUNT": "3"}
    assert not record.diff(again).results and b"hello" in again.files["nodes/a/logs/pinger/1.out"]


Damage = Callable[[Path, Path], None]


def _changed(change: Callable[[tarfile.TarInfo, bytes], tuple[tarfile.TarInfo, bytes] | None], *added: tarfile.TarInfo) -> Damage:
    def write(source: Path, target: Path) -> None:
        with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
            for info in old:
                content = old.extractfile(info) if info.isreg() else None
                kept = change(info, content.read() if content else b"")
                if kept is not None:
                    kept[0].size = len(kept[1])
                    new.addfile(kept[0], io.BytesIO(kept[1]) if kept[0].isreg() else None)
            for info in added:
                new.addfile(info, io.BytesIO(b"x" * info.size))
    return write


def _link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def _same(info: tarfile.TarInfo, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    return info, content


def _without(path: str) -> Damage:
    return _changed(lambda info, content: None if info.name == path else (info, content))


def _with(path: str, before: bytes, after: bytes) -> Damage:
    return _changed(lambda info, content: (info, content.replace(before, after) if info.name == path else content))


def _cut(source: Path, target: Path) -> None:
    whole = source.read_bytes()
    target.write_bytes(whole[:len(whole) // 3 // 512 * 512 + 100])


def _none(source: Path, target: Path) -> None:
    target.write_text("no tar")


BAD: dict[str, tuple[Damage, type[SwapbedError], str]] = {
    "cut off": (_cut, InvalidInput, "Is it whole"),
    "no archive": (_none, InvalidInput, "cannot be read"),
    "a file changed": (_with("events.jsonl", b"pinger", b"pinker"), Corrupt, "do not match"),
    "a file missing": (_without("surroundings.json"), Corrupt, "do not match"),
    "a file more": (_changed(_same, tarfile.TarInfo("nodes/a/more")), Corrupt, "do not match"),
    "its export's page missing": (_without("swapbed-export/record.json"), InvalidInput, "no export of a record"),
    "a datastore changed": (_changed(lambda info, content: (info, content.replace(b"hello", b"HELLO"))), Corrupt, "match"),
    "a template changed": (_with("swapbed-export/templates.json", b"1ms", b"2ms"), Corrupt, "does not match its hash"),
    "a path that leads out": (_changed(_same, tarfile.TarInfo("../out")), InvalidInput, "leads out"),
    "an absolute path": (_changed(_same, tarfile.TarInfo("/etc/out")), InvalidInput, "leads out"),
    "a path through a link": (_changed(_same, _link("way", "/etc"), tarfile.TarInfo("way/out")), InvalidInput, "cannot be read"),
    "a link in the place of a page": (_changed(lambda info, content: (_link(info.name, "/etc/passwd"), b"")
                                               if info.name.endswith("notes.json") else (info, content)), InvalidInput, "symbolic link"),
}


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_as_it_was_exported_is_refused(exported: Path, what: str, tmp_path: Path, state_dir: Path) -> None:
    make, kind, words = BAD[what]
    make(exported / "a.tar", tmp_path / "bad.tar")
    with pytest.raises(kind, match=words):
        swapbed.import_record(tmp_path / "bad.tar")
    assert not swapbed.records() and not list(templates.log()), "nothing was added"
    assert not Path("/etc/out").exists() and not (tmp_path.parent / "out").exists()


def test_bad_zips_and_directories_are_refused(exported: Path, tmp_path: Path, state_dir: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("../out", "x")
    shutil.copytree(exported / "a.dir", tmp_path / "changed", symlinks=True)
    (tmp_path / "changed" / "record.json").write_text(json.dumps({"format": 1}))
    (tmp_path / "empty").mkdir()
    for name in ("x.zip", "changed", "empty", "missing"):
        with pytest.raises(InvalidInput):
            swapbed.import_record(tmp_path / name)
    assert not (tmp_path.parent / "out").exists()


def test_a_name_that_another_tree_has_needs_another(exported: Path, tmp_path: Path, state_dir: Path, cli: Cli) -> None:
    (tmp_path / "takeaway.yml").write_text("nodes: {z: }\n")
    templates.create(tmp_path / "takeaway.yml")
    refused = cli("record", "import", str(exported / "a.dir"))
    assert refused.returncode == 5 and "--name" in refused.stderr and not swapbed.records()
    assert cli("record", "import", str(exported / "a.dir"), "--name", "theirs").returncode == 0
    assert templates.find("theirs@1").imported_from and swapbed.record("takeaway/1").results == {"count": "3"}


def test_of_an_expunged_template_the_record_is_complete_and_says_so(exported: Path, tmp_path: Path, state_dir: Path,
                                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    record = swapbed.import_record(exported / "a.tar")
    deletion.delete_("template:takeaway@1")
    record.export(tmp_path / "alone.tar")
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(state_dir / "elsewhere"))
    _forget()
    again = swapbed.import_record(tmp_path / "alone.tar")
    assert again.known.row.root == record.known.row.root and templates.find("takeaway@1").source is None
    with pytest.raises(NotFound, match="expunged"):
        again.replay()
    swapbed.import_record(exported / "a.tar")
    assert templates.find("takeaway").source, "the template came to its tombstone"


def test_formats_on_the_command_line(exported: Path, tmp_path: Path, state_dir: Path, cli: Cli) -> None:
    swapbed.import_record(exported / "a.tar")
    for form in ("rocrate", "tar", "dir"):
        assert cli("record", "export", "takeaway", f"out-{form}", "--format", form, "--format", "json").parsed["format"] == form
    assert (tmp_path / "out-rocrate" / "ro-crate-metadata.json").is_file() and tarfile.is_tarfile(tmp_path / "out-tar")
    assert (tmp_path / "out-dir" / "record.json").is_file() and not (tmp_path / "out-dir" / "ro-crate-metadata.json").exists()
    again = cli("record", "export", "takeaway", "out-dir")
    assert again.returncode == 5 and cli("record", "export", "takeaway", "x", "--format", "tar", "--format", "dir").returncode == 3
    with pytest.raises(Conflict):
        swapbed.record("takeaway").export(tmp_path / "out-tar", "tar")
