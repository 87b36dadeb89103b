"""`deploy`, `destroy`, `inspect` and `instance ls`: instances as a whole."""

from __future__ import annotations

from typing import Annotated

import typer

from swapbed.cli import completion
from swapbed.cli.options import FormatOption, HostOption, InstanceArgument, ParameterOption, SourceArgument
from swapbed.present.output import Format, note, print_json, print_text

InstancesArgument = Annotated[list[str], typer.Argument(metavar="INSTANCE...", help="names of instances",
                                                        autocompletion=completion.instances)]
group = typer.Typer(no_args_is_help=True, help="Instances as a whole.")


def deploy(source: SourceArgument, parameters: ParameterOption = None,
           name: Annotated[str | None, typer.Option("--name", "-n", help="a DNS label; default: the template's with a number")] = None,
           run: Annotated[bool, typer.Option("--run/--no-run", help="start the first run by itself")] = True, host: HostOption = None,
           output: FormatOption = Format.TABLE) -> None:
    """Make an instance of a template and start its first run."""
    from swapbed import lifecycle
    from swapbed.present import instances
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    try:
        with progress() as report:
            known, evaluation = lifecycle.deploy(source, name=name, parameters=assignments(parameters), start_run=run, host=host,
                                                 report=report)
    except KeyboardInterrupt:
        note("interrupted: what was begun is undone, what was up already is not (`swapbed instance ls`)")
        raise
    for warning in evaluation.warnings:
        note(f"warning: {warning}")
    summary = instances.of(known)
    if output is Format.JSON:
        print_json(summary)
    else:
        print_text(instances.sentence(summary, known.spec))


def destroy(instances: InstancesArgument, output: FormatOption = Format.TABLE) -> None:
    """Free everything that instances have on their hosts."""
    from swapbed import lifecycle
    from swapbed.present.progress import progress

    gone = []
    with progress() as report:
        for name in instances:
            gone.append(lifecycle.destroy(name, report=report).row)
    if output is Format.JSON:
        print_json([{"id": row.id, "name": row.name} for row in gone])
    else:
        print_text(f"destroyed: {', '.join(row.name for row in gone)}")


def inspect(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """Show an instance as it stands: nodes, links, run, and what is wrong with it."""
    from swapbed.living import inspection
    from swapbed.present import inspected, instances

    known, found = inspection.inspect(instance)
    if output is Format.JSON:
        print_json(found)
    else:
        print_text(instances.sentence(instances.of(known), known.spec), *inspected.tables(found))


@group.command()
def modify(instance: InstanceArgument, template: Annotated[str, typer.Argument(metavar="TEMPLATE", help="as `name@4`, or a file")],
           parameters: ParameterOption = None, output: FormatOption = Format.TABLE) -> None:
    """Bring an instance to another version of its template, between two runs; what is the same goes on undisturbed."""
    from swapbed.living import modifying
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    with progress() as report:
        done = modifying.modify(instance, template, assignments(parameters), report=report)
    name = f"{done.template.name}@{done.template.number}"
    said = done.changes.sentences()
    if output is Format.JSON:
        print_json({"instance": done.known.row.name, "template": name, "changes": said})
    else:
        print_text(f"{done.known.row.name} is {name} now: {'; '.join(said) or 'nothing changed'}")


@group.command("ls")
def instance_ls(every: Annotated[bool, typer.Option("--all", "-a", help="hidden ones, too")] = False,
                output: FormatOption = Format.TABLE) -> None:
    """List the living instances of this project."""
    from swapbed import lifecycle
    from swapbed.present import instances

    known = [instances.of(one) for one in lifecycle.all_living(hidden=every)]
    if output is Format.JSON:
        print_json(known)
    else:
        print_text(instances.instances_table(known))


def register(app: typer.Typer) -> None:
    app.command()(deploy)
    app.command()(destroy)
    app.command()(inspect)
    app.add_typer(group, name="instance")
