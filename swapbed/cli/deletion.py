"""`hide`, `unhide`, `delete`, `expunge`: templates, instances, runs and records that are not wanted any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text

if TYPE_CHECKING:
    from swapbed.deletion import Chosen

SubjectsArgument = Annotated[list[str], typer.Argument(metavar="SUBJECT...", help="template:NAME@3, instance:NAME, run:INSTANCE/2,"
                                                                                  " record:INSTANCE/2, or ids")]
SubtreeOption = Annotated[bool, typer.Option("--subtree", help="with all that came of it: children, instances, runs, records")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]


def hide(names: SubjectsArgument, subtree: SubtreeOption = False, output: FormatOption = Format.TABLE) -> None:
    """Leave things out of lists; `unhide` brings them back."""
    from swapbed import deletion

    _say("hidden", deletion.hide(*names, subtree=subtree), output)


def unhide(names: SubjectsArgument, subtree: SubtreeOption = False, output: FormatOption = Format.TABLE) -> None:
    """Bring hidden things back into lists."""
    from swapbed import deletion

    _say("shown again", deletion.unhide(*names, subtree=subtree), output)


def delete(names: SubjectsArgument, subtree: SubtreeOption = False, yes: YesOption = False, output: FormatOption = Format.TABLE) -> None:
    """Take the content of things away; tombstones stay. The store's next collection frees what nothing else holds."""
    from swapbed import deletion

    _ask("delete", names, subtree, yes)
    _say("deleted", deletion.delete_(*names, subtree=subtree), output)


def expunge(names: SubjectsArgument, subtree: SubtreeOption = False, yes: YesOption = False, output: FormatOption = Format.TABLE) -> None:
    """Delete things, and leave none of their bytes in the store or the database. For ever."""
    from models.errors import TimedOut
    from swapbed import deletion

    _ask("expunge for ever", names, subtree, yes)
    chosen, found = deletion.expunge(*names, subtree=subtree)
    if not found.done:
        raise TimedOut("the bytes are condemned, but transfers that go on may still count on some", where=", ".join(found.waiting_for),
                       next="Do it again when they are over")
    _say("expunged", chosen, output)


def _ask(verb: str, names: list[str], subtree: bool, yes: bool) -> None:
    from swapbed import deletion

    chosen = deletion.choose(names, subtree)
    if not yes:
        typer.confirm(f"{verb}: {_counted(chosen)}?", abort=True, err=True)


def _counted(chosen: Chosen) -> str:
    from swapbed.present.units import count

    return ", ".join(count(number, kind) for kind, number in chosen.counts().items() if number)


def _say(done: str, chosen: Chosen, output: Format) -> None:
    if output is Format.JSON:
        print_json({"done": done, "named": chosen.labels, **chosen.counts()})
    else:
        print_text(f"{done}: {', '.join(chosen.labels)}")
        note(_counted(chosen))


def register(app: typer.Typer) -> None:
    for command in (hide, unhide, delete, expunge):
        app.command()(command)
