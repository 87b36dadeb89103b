"""`record`: what runs left, for ever."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from models.errors import InvalidInput
from swapbed.cli import options
from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text

if TYPE_CHECKING:
    from swapbed.record_verbs import Known

group = typer.Typer(no_args_is_help=True, help="Records: what runs left.")
RecordArgument = Annotated[str, typer.Argument(metavar="RECORD", help="an id; INSTANCE/2 for run 2; INSTANCE for its last run")]
PathArgument = Annotated[str, typer.Argument(metavar="PATH", help="of a file in the record, as `record show --files` lists it")]


class Form(StrEnum):
    """Of what is written; the last two, of what is said of it, as everywhere."""

    ROCRATE, TAR, DIRECTORY, TABLE, JSON = "rocrate", "tar", "dir", "table", "json"


@group.command("ls")
def list_(instance: Annotated[str | None, typer.Argument(metavar="[INSTANCE]", help="living or not; default: all")] = None,
          revisions: Annotated[bool, typer.Option("--revisions", help="also those that were amended since")] = False,
          every: Annotated[bool, typer.Option("--all", "-a", help="hidden ones, too")] = False,
          limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="those of the newest so many runs")] = 100,
          output: FormatOption = Format.TABLE) -> None:
    """List records, by instance and run."""
    from swapbed import record_verbs as records
    from swapbed.present import records as present

    shown = [present.of(known) for known in records.all_of(instance, revisions=revisions, hidden=every, limit=limit)]
    count = records.count_of(instance, revisions=revisions, hidden=every) if len(shown) == limit else len(shown)
    if count > len(shown):
        note(f"the newest {len(shown)} of {count} records: `-n {count}` lists all, `swapbed record ls INSTANCE` those of one instance, "
             "and `swapbed search` finds some")
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(present.list_table(shown))


@group.command()
def show(record: RecordArgument, files: Annotated[bool, typer.Option("--files", help="also list its files")] = False,
         output: FormatOption = Format.TABLE) -> None:
    """Show one record."""
    from swapbed import record_verbs as records
    from swapbed.present import records as present
    from swapbed.present import units
    from swapbed.present.file_names import printable_file
    from swapbed.present.output import table

    known = records.find(record)
    listed = [printable_file(file) for file in records.files(known.row)] if files else []
    if output is Format.JSON:
        print_json({**present.of(known).model_dump(mode="json"), **({"listing": listed} if files else {})})
    else:
        print_text(present.facts_table(present.of(known)))
        if files:
            print_text(table(None, ("file", "#size"), [(one.path, units.size(one.size_bytes)) for one in listed]))


@group.command()
def cat(record: RecordArgument, path: PathArgument) -> None:
    """Write one file of a record to standard output."""
    import sys

    from swapbed import record_verbs as records

    row = records.find(record).row
    for piece in records.read(row, records.path_in(row, path)):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


@group.command()
def diff(first: RecordArgument, second: RecordArgument, output: FormatOption = Format.TABLE) -> None:
    """Compare two runs by their records."""
    from swapbed import record_verbs as records
    from swapbed.present import records as present
    from swapbed.record_difference import difference

    found = difference(records.find(first).row, records.find(second).row)
    if output is Format.JSON:
        print_json({**found.model_dump(mode="json"), "same": found.same})
    else:
        if found.same:
            print_text("both were told the same, and the same happened in them")
        print_text(*present.difference_tables(found))


def _remember(values: list[Form] | None) -> list[Form] | None:
    """An error is printed in the format that was asked for."""
    if Form.JSON in (values or ()):
        options.chosen = Format.JSON
    return values


@group.command()
def export(record: RecordArgument, target: Annotated[Path, typer.Argument(metavar="TARGET", help="a directory or archive to be made")],
           forms: Annotated[list[Form] | None, typer.Option(
               "--format", callback=_remember, envvar="SWAPBED_FORMAT",
               help="rocrate, tar or dir (default: as TARGET ends, .zip for a crate); and table or json for what is said")] = None,
           checkpoints: Annotated[bool, typer.Option("--checkpoints", help="also those of its run")] = False) -> None:
    """Write a record with its template, provenance, notes and hashes; `record import` brings it back anywhere."""
    from swapbed import record_verbs as records
    from swapbed.exchange import record_export

    wanted = [form for form in forms or () if form not in (Form.TABLE, Form.JSON)]
    if len(wanted) > 1:
        raise InvalidInput("a record is written in one format at a time", where="--format")
    known = records.find(record)
    form = record_export.export(known.row, target, record_export.Form(wanted[0].value) if wanted else None, checkpoints=checkpoints)
    if options.chosen is Format.JSON:
        print_json({"record": known.row.id, "root": known.row.root, "format": form.value, "target": str(target)})
    else:
        print_text(f"{known.name} is in {target}")


@group.command()
def plot(record: RecordArgument, target: Annotated[Path, typer.Argument(metavar="FILE", help="a picture to be made: .png, .svg or .pdf")],
         output: FormatOption = Format.TABLE) -> None:
    """Draw what a record's links carried and dropped, when its programs ran, and what they reported."""
    from swapbed import record_verbs as records
    from swapbed.pictures.record import RecordPicture

    known = records.find(record)
    RecordPicture(known.row).save(target)
    if output is Format.JSON:
        print_json({"record": known.row.id, "picture": str(target)})
    else:
        print_text(str(target))


@group.command("import")
def import_(source: Annotated[Path, typer.Argument(metavar="SOURCE", help="what `record export` wrote, in any format")],
            name: Annotated[str | None, typer.Option("--name", "-n", help="of its template's tree; default: as it was")] = None,
            output: FormatOption = Format.TABLE) -> None:
    """Bring in an exported record with its template; hashes stay what they were. What is here already stays as it is, and that is said."""
    from swapbed.exchange import record_import
    from swapbed.exchange.added import already_here
    from swapbed.present import records as present

    done = record_import.import_(source, name=name)
    shown = present.of(done.known)
    if output is Format.JSON:
        print_json({**shown.model_dump(mode="json"), "new": done.new, "added": done.added})
        return
    print_text(present.facts_table(shown))
    if not done.new:
        note(already_here("record", done.added, f"record:{shown.id}", hidden=shown.hidden))


@group.command()
def add(record: RecordArgument, source: Annotated[Path, typer.Argument(metavar="FILE", help="a file or directory of this machine")],
        target: Annotated[str | None, typer.Option("--as", metavar="PATH", help="below added/; default: its name")] = None,
        output: FormatOption = Format.TABLE) -> None:
    """Add a file: to the record while it is open, else to a new revision of it."""
    from swapbed import record_verbs as records

    before = records.find(record)
    _tell(before, records.add(before.row, source, target), output)


@group.command("rm")
def remove(record: RecordArgument, path: PathArgument, output: FormatOption = Format.TABLE) -> None:
    """Remove a file or directory: from the record while it is open, else from a new revision of it."""
    from swapbed import record_verbs as records

    before = records.find(record)
    _tell(before, records.remove(before.row, path), output)


def _tell(before: Known, after: Known, output: Format) -> None:
    from swapbed.present import records as present

    if after.row.id != before.row.id:
        note(f"{before.row.id} is final: this is its revision {after.row.revision}")
    if output is Format.JSON:
        print_json(present.of(after))
    else:
        print_text(present.facts_table(present.of(after)))


def replay(record: RecordArgument,
           name: Annotated[str | None, typer.Option("--name", "-n", help="of the new instance")] = None,
           output: FormatOption = Format.TABLE) -> None:
    """Make a new instance from a record, live through its run again, and keep the record of that; `record diff` compares the two."""
    from swapbed import replaying
    from swapbed.present import records as present
    from swapbed.present.progress import progress

    with progress() as report:
        made = replaying.replay(record, name=name, report=report)
    if output is Format.JSON:
        print_json(present.of(made))
    else:
        print_text(present.facts_table(present.of(made)))


def register(app: typer.Typer) -> None:
    app.command()(replay)
    app.add_typer(group, name="record")
