"""`meta` and `search`: notes on templates, instances, runs and records, and finding runs by them and by all else."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text, table


class Kind(StrEnum):
    RUN, TEMPLATE, INSTANCE = "run", "template", "instance"


group = typer.Typer(no_args_is_help=True, help="Metadata: names, descriptions, any notes, with their history.")
SubjectArgument = Annotated[str, typer.Argument(metavar="SUBJECT", help="template:NAME@3, instance:NAME, run:INSTANCE/2,"
                                                                        " record:INSTANCE/2, or an id")]
QUERY_HELP = """parameters, reported values, metadata, and: template instance run state outcome reason origin by began ended lasted"""


@group.command("set")
def set_(subject: SubjectArgument, pairs: Annotated[list[str], typer.Argument(metavar="KEY=VALUE...")],
         output: FormatOption = Format.TABLE) -> None:
    """Set values; what they were before stays in the history."""
    from swapbed import metadata
    from swapbed.sources.source import assignments

    _show(metadata.annotate(subject, assignments(pairs, subject, "quality=good")), output)


@group.command("rm")
def remove(subject: SubjectArgument, keys: Annotated[list[str], typer.Argument(metavar="KEY...")],
           output: FormatOption = Format.TABLE) -> None:
    """Remove keys; their values stay in the history."""
    from swapbed import metadata

    _show(metadata.annotate(subject, dict.fromkeys(keys)), output)


@group.command()
def show(subject: SubjectArgument, output: FormatOption = Format.TABLE) -> None:
    """Show the present values."""
    from swapbed import metadata

    _show(metadata.notes(subject), output)


@group.command()
def history(subject: SubjectArgument, output: FormatOption = Format.TABLE) -> None:
    """Who changed what, when, from what."""
    from swapbed import metadata

    found = metadata.history(subject)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(table(None, ("when", "who", "key", "before", "after"), [
            (f"{one.changed_at:%Y-%m-%d %H:%M:%S}", one.changed_by, one.key, one.before, one.after) for one in found]))


def search(query: Annotated[str, typer.Argument(help=f"like 'delay > 10ms and outcome = ok'; names: {QUERY_HELP}")],
           limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="the newest so many")] = 100,
           every: Annotated[bool, typer.Option("--all", "-a", help="hidden ones, too")] = False,
           kind: Annotated[Kind, typer.Option(help="what to find; a run comes with its record")] = Kind.RUN,
           output: FormatOption = Format.TABLE) -> None:
    """Find runs, and their records, by parameters, reported values, metadata, outcome and time; or templates or instances, by facts and
    metadata."""
    from swapbed.searching.runs import search as find

    if kind is not Kind.RUN:
        _search_others(query, kind, limit, every, output)
        return
    found = find(query, limit=limit + 1, hidden=every)
    _say_what_is_odd(query, kind, len(found), limit)
    found = found[:limit]
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(table(None, ("run", "template", "outcome", "began", "record", "parameters", "results"), [
            (f"{one.instance}/{one.run}", one.template, one.outcome or one.state, f"{one.began_at:%Y-%m-%d %H:%M}" if one.began_at else "",
             one.record, _pairs(one.parameters), _pairs(one.results)) for one in found]))


def _search_others(query: str, kind: Kind, limit: int, every: bool, output: Format) -> None:
    from swapbed.searching.others import search_others

    found = search_others("template" if kind is Kind.TEMPLATE else "instance", query, limit=limit + 1, hidden=every)
    _say_what_is_odd(query, kind, len(found), limit)
    found = found[:limit]
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(table(None, (kind.value, "state", "created", "by", "notes"), [
            (one.name, one.state, f"{one.created_at:%Y-%m-%d %H:%M}", one.created_by,
             _pairs(one.notes)) for one in found]))


def _say_what_is_odd(query: str, kind: Kind, found: int, limit: int) -> None:
    """Nothing, by names that nothing has; or more than is shown."""
    if found > limit:
        note(f"the newest {limit} of more: `-n {10 * limit}` shows further ones")
    if found:
        return
    from swapbed.searching.names import unknown_names

    for sentence in unknown_names(query, None if kind is Kind.RUN else "template" if kind is Kind.TEMPLATE else "instance"):
        note(sentence)


def _pairs(values: dict[str, str]) -> str:
    """With their names as a query has them."""
    return " ".join(f"{name}={value}" for name, value in values.items())


def _show(values: dict[str, str], output: Format) -> None:
    if output is Format.JSON:
        print_json(values)
    else:
        print_text(table(None, ("key", "value"), values.items()))


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="meta")
    app.command()(search)
