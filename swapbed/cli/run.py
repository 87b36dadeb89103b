"""`run`: units of work in an instance."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption, InstanceArgument, ParameterOption
from swapbed.present.output import Format

ENVIRONMENT_HELP = "files in nodes as the last run left them, or as after instantiation; default: as the template says"
INPUT_HELP = "a file or directory of another run's record, for a node; may be repeated"
TEMPLATE_HELP = "what the instance is to become first, as `name@4` or a file: what is the same goes on undisturbed"
UNTIL_HELP = "over: stopped; quiet: nothing more will happen by itself; idle: nor does any program run"
group = typer.Typer(no_args_is_help=True, help="Runs: units of work in an instance, one after the other.")


class Until(StrEnum):
    QUIET = "quiet"
    IDLE = "idle"
    OVER = "over"


class Environment(StrEnum):
    INHERIT = "inherit"
    FRESH = "fresh"


@group.command()
def start(instance: InstanceArgument, parameters: ParameterOption = None,
          environment: Annotated[Environment | None, typer.Option(help=ENVIRONMENT_HELP)] = None,
          template: Annotated[str | None, typer.Option(metavar="TEMPLATE", help=TEMPLATE_HELP)] = None,
          inputs: Annotated[list[str] | None, typer.Option("--input", metavar="RECORD:PATH=NODE:TARGET", help=INPUT_HELP)] = None,
          output: FormatOption = Format.TABLE) -> None:
    """Begin the next run. Parameters that are not named are as in the last run."""
    from swapbed.living import runs
    from swapbed.present import run_rows
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    with progress() as report:
        run = runs.start(instance, assignments(parameters), environment=environment.value if environment else None, template=template,
                         inputs=inputs or (), report=report)
    run_rows.show([run], output, one=True)


@group.command()
def stop(instance: InstanceArgument, output: FormatOption = Format.TABLE) -> None:
    """End the run that is going on; what ran in it is stopped."""
    from swapbed.living import runs
    from swapbed.present import run_rows
    from swapbed.present.progress import progress

    with progress() as report:
        run = runs.stop(instance, report=report)
    run_rows.show([run], output, one=True)


@group.command()
def wait(instance: InstanceArgument,
         until: Annotated[Until, typer.Option(help=UNTIL_HELP)] = Until.OVER,
         timeout: Annotated[str | None, typer.Option(metavar="TIME", help="give up after so long (exit code 10)")] = None,
         output: FormatOption = Format.TABLE) -> None:
    """Wait for the end of the run that is going on. Exit code 11 if it failed."""
    from models.errors import ExperimentFailed
    from swapbed.cli.options import seconds
    from swapbed.living import runs
    from swapbed.living.access import Access
    from swapbed.present import run_rows
    from swapbed.present.progress import progress

    with Access.to(instance) as access, progress() as report:
        run = runs.wait(access, until.value, timeout_s=None if timeout is None else seconds(timeout, "--timeout"), report=report)
    if run.outcome in ("failed", "lost"):
        raise ExperimentFailed(f"run {run.number} {run.outcome}: {run.reason}", where=instance)
    run_rows.show([run], output, one=True)


@group.command()
def show(run: Annotated[str, typer.Argument(metavar="RUN", help="INSTANCE/2 for run 2; INSTANCE for its last; or an id")],
         output: FormatOption = Format.TABLE) -> None:
    """Show one run: what it was told and found, what became of it, its record. The instance may be gone."""
    from swapbed.living import runs
    from swapbed.present import run_rows
    from swapbed.present.output import print_json, print_text

    shown = run_rows.details(runs.about(run))
    if output is Format.JSON:
        print_json(shown)
    else:
        print_text(run_rows.facts_table(shown))


@group.command("ls")
def list_(instance: InstanceArgument, every: Annotated[bool, typer.Option("--all", "-a", help="hidden ones, too")] = False,
          output: FormatOption = Format.TABLE) -> None:
    """List the runs of an instance, which may be gone. Of a hidden run with a record only its place is shown."""
    from swapbed.living import runs
    from swapbed.present import run_rows

    run_rows.show(runs.of_instance(instance) if every else runs.listed(instance), output, hidden=every)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="run")
