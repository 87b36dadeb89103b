"""`store …`: where everything is kept, as a whole: checking, measuring, mending, freeing."""

from __future__ import annotations

from typing import Annotated

import typer

from models.errors import Corrupt
from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text

group = typer.Typer(no_args_is_help=True, help="Where everything is kept.")
DeepOption = Annotated[bool, typer.Option("--deep", help="read every byte and compare it with its hash, not the structure alone")]
RepairOption = Annotated[bool, typer.Option("--repair", help="forget bad copies: storing their source again sends it anew")]
DryOption = Annotated[bool, typer.Option("--dry-run", help="free nothing, tell what would be freed")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="do not ask")]
ObjectArgument = Annotated[str, typer.Argument(metavar="OBJECT", help="template:NAME@3, record:INSTANCE/2, run:INSTANCE/2, instance:NAME,"
                                                                      " checkpoint:ID, image:NAME, or an id")]

SecretArgument = Annotated[typer.FileBinaryRead, typer.Argument(metavar="FILE", help="what holds the string; - is standard input")]


@group.command()
def check(deep: DeepOption = False, repair: RepairOption = False, output: FormatOption = Format.TABLE) -> None:
    """Tell whether everything that is pinned can be restored. Exit code 8 if something cannot."""
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import checked_sentence, findings_table

    with progress() as report:
        found = store.check(deep=deep, repair=repair, report=report)
    if output is Format.JSON:
        print_json({"whole": found.whole, **found.model_dump(mode="json")})
    else:
        if found.findings:
            print_text(findings_table(found))
        print_text(checked_sentence(found))
        _advise(found.whole, repair)
    if not found.whole:
        raise typer.Exit(Corrupt.exit_code)


def _advise(whole: bool, repaired: bool) -> None:
    if not whole and not repaired:
        note("`swapbed store check --deep --repair` forgets bad copies; what still has its source is then stored again. "
             "For an older catalog: `swapbed store rebuild`")


@group.command()
def stats(output: FormatOption = Format.TABLE) -> None:
    """Show logical, unique and stored bytes, per kind, of this project."""
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import usage_tables

    with progress() as report:
        used = store.stats(report=report)
    if output is Format.JSON:
        kinds = [{**kind.model_dump(mode="json"), "ratio": kind.ratio} for kind in used.kinds]
        print_json({**used.model_dump(mode="json"), "kinds": kinds, "ratio": used.ratio})
    else:
        print_text(*usage_tables(used))


@group.command()
def du(name: ObjectArgument, output: FormatOption = Format.TABLE) -> None:
    """Show how much a thing reaches, and how much of it nothing else does: what expunging it would free."""
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import root_table

    with progress() as report:
        used = store.usage(name, report=report)
    print_json(used) if output is Format.JSON else print_text(root_table(used))


@group.command()
def rebuild(yes: YesOption = False, output: FormatOption = Format.TABLE) -> None:
    """Make the catalog, and the lists of records, anew from the packs: the database was lost, or is older. Exit code 8 if some are bad."""
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import rebuilt_table

    if not yes:
        typer.confirm("forget what the database says of the store, and read all packs? What is being stored now has to begin again",
                      abort=True, err=True)
    with progress() as report:
        made = store.rebuild(report=report)
    print_json(made) if output is Format.JSON else print_text(rebuilt_table(made))
    if made.damaged or made.incomplete or made.unlisted:
        raise typer.Exit(Corrupt.exit_code)


@group.command()
def gc(dry_run: DryOption = False, output: FormatOption = Format.TABLE) -> None:
    """Free what nothing refers to any more: what this run condemns, the next one frees. Runs by itself every night."""
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import collected_table

    with progress() as report:
        found = store.collect(dry_run=dry_run, report=report)
    print_json(found) if output is Format.JSON else print_text(collected_table(found))


@group.command()
def seek(file: SecretArgument, output: FormatOption = Format.TABLE) -> None:
    """Tell where a string still is: in packs, old versions, databases, spools, nodes' files. Exit code 5 if it is anywhere."""
    from models.errors import Conflict
    from swapbed import store
    from swapbed.present.progress import progress
    from swapbed.present.store import sought_table

    secret = file.read().rstrip(b"\n")
    with progress() as report:
        sought = store.seek(secret, report=report)
    print_json(sought) if output is Format.JSON else print_text(sought_table(sought))
    if sought.found:
        raise typer.Exit(Conflict.exit_code)


@group.command("create-bucket")
def create_bucket(output: FormatOption = Format.TABLE) -> None:
    """Make the bucket that the settings name, with credentials that may do so."""
    from swapbed import store

    tidies = store.create_bucket()
    if output is Format.JSON:
        print_json({"removes_old_versions_by_itself": tidies})
    else:
        print_text("the bucket is there" + ("; its server removes old versions and unfinished uploads after a day" if tidies else ""))


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="store")
