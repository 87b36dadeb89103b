"""Records as Python objects: `swapbed.records()`, `swapbed.record("dumbbell-1/2")`."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from models.manifest import ListedFile
from models.recorded import Agents, Recorded, RecordedEvent
from models.states import RecordState
from swapbed import record_verbs as records
from swapbed import replaying
from swapbed.exchange import record_export, record_import
from swapbed.present import html
from swapbed.present import records as present
from swapbed.present.file_names import printable
from swapbed.present.progress import Report, quiet
from swapbed.record_difference import RecordDifference, difference
from tasks.record_trees import recorded

if TYPE_CHECKING:
    import pandas

    from swapbed.pictures.record import RecordPicture


def one(name: str) -> Record:
    """By id, `INSTANCE/RUN`, or INSTANCE for its last run. Of a run that has just ended, once it is committed."""
    known = records.find(name)
    return Record(records.of_run(known.run.id) if known.row.state is RecordState.COMMITTING else known)


def bring(source: Path | str, *, name: str | None = None) -> Record:
    """What `Record.export` wrote, in any form, here or elsewhere; one that is here already stays as it is. name: for the tree of its
    template, if that is a new one here."""
    return Record(record_import.import_(Path(source), name=name).known)


def every(instance: str | None = None) -> Records:
    """Of one instance, living or not, or of the project; the newest revision of each."""
    return Records(Record(known) for known in records.all_of(instance))


class Records(list["Record"]):
    """A table in a notebook, and a DataFrame where pandas is installed."""

    def rows(self) -> list[dict[str, Any]]:
        """One for each record: what it is of, parameters and reported values by name (`param.run`, `result.run` where that is a column
        already); values that look like numbers are numbers."""
        return [one._row() for one in self]

    def frame(self) -> pandas.DataFrame:
        """Raises ImportError without pandas."""
        import pandas

        return pandas.DataFrame(self.rows())

    def _repr_html_(self) -> str:
        return html.table((name.removeprefix("#") for name in present.COLUMNS), present.rows(present.of(one.known) for one in self))


def column(name: str, kind: str, taken: Container[str]) -> str:
    """What a value is called in a table where others are: as in a search, if its name is taken. kind: param or result."""
    return f"{kind}.{name}" if name in taken else name


def columns(values: Mapping[str, str], kind: str, taken: Container[str]) -> dict[str, Any]:
    return {column(name, kind, taken): number(value) for name, value in values.items()}


def number(value: str) -> Any:
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


class Files(Mapping[str, bytes]):
    """A record's files by path, read from the store when asked for."""

    def __init__(self, record: Record):
        self._record = record
        self._listing: dict[str, ListedFile] | None = None

    @property
    def listing(self) -> dict[str, ListedFile]:
        if self._listing is None:
            self._listing = {file.path: file for file in records.files(self._record.known.row)}
        return self._listing

    def __getitem__(self, path: str) -> bytes:
        if path not in self.listing:
            raise KeyError(path)
        return b"".join(records.read(self._record.known.row, path))

    def __iter__(self) -> Iterator[str]:
        return iter(self.listing)

    def __len__(self) -> int:
        return len(self.listing)


class Record:
    """What one run left. Nothing in it changes any more once `state` is `final`."""

    def __init__(self, known: records.Known):
        self.known = known
        self.files = Files(self)

    @property
    def id(self) -> str:
        return self.known.row.id

    @property
    def state(self) -> str:
        return self.known.row.state

    @property
    def outcome(self) -> str | None:
        return self.known.run.outcome

    @property
    def parameters(self) -> dict[str, str]:
        return self.known.run.parameters

    @property
    def results(self) -> dict[str, str]:
        """Values that agents reported, by lines `RESULT name value` on their standard output."""
        return dict(self.known.row.summary.get("results", {}))

    def _row(self) -> dict[str, Any]:
        facts = {"record": self.id, "instance": self.known.instance.name, "run": self.known.run.number, "outcome": self.outcome}
        facts |= columns(self.parameters, "param", facts)
        return facts | columns(self.results, "result", facts)

    @property
    def said(self) -> Recorded:
        """Its record.json."""
        return recorded(self.known.row)

    @property
    def agents(self) -> Agents:
        return Agents.model_validate_json(self.files["agents.json"])

    @property
    def events(self) -> list[RecordedEvent]:
        return [RecordedEvent.model_validate_json(line) for line in self.files["events.jsonl"].splitlines()]

    @property
    def links(self) -> list[dict[str, Any]]:
        """Of every pipe: what was asked, and what it did; see `models.protocol.runs.LinkOfRun`."""
        found: list[dict[str, Any]] = json.loads(self.files["links.json"])["links"]
        return found

    def diff(self, other: Record) -> RecordDifference:
        return difference(self.known.row, other.known.row)

    def export(self, target: Path | str, form: Literal["rocrate", "tar", "dir"] | None = None, *, checkpoints: bool = False) -> Path:
        """With its template, notes and hashes; checkpoints: with those of its run.

        Default: an archive or, for .zip, a crate, if target ends like one; else a directory.
        """
        place = Path(target)
        record_export.export(self.known.row, place, record_export.form_named(form) if form else None, checkpoints=checkpoints)
        return place

    def plot(self, path: Path | str | None = None) -> RecordPicture:
        """What its links carried and dropped, when programs ran, what they reported; to a file (.png, .svg, .pdf), if one is named.

        A notebook shows what is returned. Raises NotFound where there is nothing to draw.
        """
        from swapbed.pictures.record import RecordPicture

        picture = RecordPicture(self.known.row)
        if path is not None:
            picture.save(path)
        return picture

    def add(self, source: Path | str, target: str | None = None) -> Record:
        """A file or directory; returns the record that has it: this one while it is open, else its next revision."""
        return Record(records.add(self.known.row, Path(source), target))

    def remove(self, path: str) -> Record:
        return Record(records.remove(self.known.row, path))

    def replay(self, *, report: Report = quiet) -> Record:
        """A new instance of its template, with its parameter values, through one run; the record of that."""
        return Record(replaying.replay(self.id, report=report))

    def __repr__(self) -> str:
        return f"<record {self.id} of {self.known.name}>"

    def _repr_html_(self) -> str:
        files = html.table(("file", "bytes"), [(printable(file.path), file.size_bytes) for file in self.files.listing.values()])
        return (html.heading(self.known.name, remark=f"record {self.id}, {self.state}") + html.table(("what", "value"), present.facts(
            present.of(self.known))) + html.folded(f"{len(self.files)} files", files))
