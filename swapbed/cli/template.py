"""`template`: immutable definitions, and the trees they form."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from swapbed.cli.options import FormatOption, ParameterOption, SourceArgument
from swapbed.present.output import Format, note, print_json, print_text

if TYPE_CHECKING:
    from swapbed.templates import Committed

group = typer.Typer(no_args_is_help=True, help="Templates: immutable definitions. Editing makes a child; a study's form a tree.")
TemplateArgument = Annotated[str, typer.Argument(metavar="TEMPLATE", help="name (the newest), name@NUMBER, id or beginning of the hash")]


@group.command()
def create(source: SourceArgument, name: Annotated[str | None, typer.Option("--name", "-n", help="default: the file's")] = None,
           datastore: Annotated[Path | None, typer.Option(help="directory of files; default: as the source says, else `datastore`"
                                                               " beside it")] = None,
           parameters: ParameterOption = None, output: FormatOption = Format.TABLE) -> None:
    """Begin a new tree of templates. -S gives values to check the source with; they do not become part of it."""
    from swapbed import templates
    from swapbed.sources.source import assignments

    _say(templates.create(source, name=name, datastore=datastore, parameters=assignments(parameters)), output)


@group.command()
def checkout(template: TemplateArgument, directory: Annotated[Path | None, typer.Argument(help="default: the template's name")] = None,
             output: FormatOption = Format.TABLE) -> None:
    """Put a template's source and files into a new directory, to be edited and committed from there."""
    from swapbed import templates

    place, row = templates.checkout(template, directory)
    if output is Format.JSON:
        print_json({"directory": str(place), "template": f"{row.name}@{row.number}", "digest": row.digest})
    else:
        print_text(f"{row.name}@{row.number} is in {place}")


@group.command()
def commit(directory: Annotated[Path, typer.Argument(help="a checkout, or a directory in one")] = Path("."),
           refetch: Annotated[bool, typer.Option("--refetch", help="files from elsewhere (`externals`) anew")] = False,
           parameters: ParameterOption = None, output: FormatOption = Format.TABLE) -> None:
    """Make a child of the template that was checked out there, with the files as they are now."""
    from swapbed import templates
    from swapbed.sources.source import assignments

    _say(templates.commit(directory, parameters=assignments(parameters), refetch=refetch), output)


@group.command()
def log(template: Annotated[str | None, typer.Argument(metavar="[TEMPLATE]", help="default: all trees")] = None,
        every: Annotated[bool, typer.Option("--all", "-a", help="hidden ones, too")] = False,
        limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="lines of the drawing")] = 1000,
        output: FormatOption = Format.TABLE) -> None:
    """Draw the trees that templates form."""
    from swapbed import templates

    found = templates.log(template, hidden=every)
    if output is Format.JSON:
        print_json(found.data())
        return
    sys.stdout.write(found.text(limit))
    if len(found) > limit:
        note(f"{len(found) - limit} more of {len(found)} templates: `-n {len(found)}` draws all, `swapbed template log NAME` one tree")


@group.command()
def show(template: TemplateArgument, output: FormatOption = Format.TABLE) -> None:
    """Show one template: where it comes from, parameters, files; its source with --format json."""
    from swapbed import templates
    from swapbed.present.templates import as_tables

    found = templates.show(template)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(*as_tables(found))


@group.command()
def diff(before: TemplateArgument, after: TemplateArgument, output: FormatOption = Format.TABLE) -> None:
    """How two templates differ: source, parameters, files."""
    from swapbed import templates
    from swapbed.present.templates import difference_tables

    found = templates.diff(before, after)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(*difference_tables(found))


@group.command()
def export(template: TemplateArgument, target: Annotated[Path, typer.Argument(metavar="FILE", help="a tar to be written")],
           output: FormatOption = Format.TABLE) -> None:
    """Write a template with all its ancestors and their files into one tar."""
    from swapbed.exchange import template_archive

    written = template_archive.export(template, target)
    if output is Format.JSON:
        print_json({"file": str(written), "size_bytes": written.stat().st_size})
    else:
        print_text(str(written))


@group.command("import")
def import_(archive: Annotated[Path, typer.Argument(metavar="FILE", help="what `template export` wrote")],
            name: Annotated[str | None, typer.Option("--name", "-n", help="of the tree; default: as it was")] = None,
            output: FormatOption = Format.TABLE) -> None:
    """Bring in an exported template with its ancestors; hashes stay what they were. What is here already stays as it is, and that is
    said."""
    from swapbed.exchange import template_archive
    from swapbed.exchange.added import already_here

    done = template_archive.import_(archive, name=name)
    row, label = done.template, f"{done.template.name}@{done.template.number}"
    if output is Format.JSON:
        print_json({"id": row.id, "template": label, "digest": row.digest, "new": done.new, "added": done.added})
        return
    print_text(f"{label}  {row.digest[:12]}")
    if not done.new:
        note(already_here("template", done.added, f"template:{label}", hidden=row.hidden_at is not None))


def _say(committed: Committed, output: Format) -> None:
    row = committed.template
    if output is Format.JSON:
        print_json({"id": row.id, "template": f"{row.name}@{row.number}", "digest": row.digest, "new": committed.new,
                    "parent_id": row.parent_id, "datastore": row.datastore})
        return
    print_text(f"{row.name}@{row.number}  {row.digest[:12]}")
    if not committed.new:
        note("nothing changed: this template was there already")


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="template")
