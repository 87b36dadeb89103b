"""`sweep`: a template under many combinations of parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from swapbed.cli.options import FormatOption, ParameterOption, SourceArgument
from swapbed.present.output import Format, note, print_json, print_text


def sweep(source: SourceArgument,
          grid: Annotated[list[str], typer.Argument(metavar="NAME=VALUES...", help="as DELAY=5ms,10ms or FLOWS=1..4")],
          parameters: ParameterOption = None,
          repeats: Annotated[int, typer.Option("--repeat", metavar="N", help="runs of each combination")] = 1,
          parallel: Annotated[int, typer.Option("--jobs", "-j", metavar="N", help="instances at once")] = 1,
          resume: Annotated[bool, typer.Option("--resume", help="go on with the same sweep where it was interrupted")] = False,
          limit: Annotated[str | None, typer.Option("--limit", metavar="TIME", help="a run that takes longer has failed")] = None,
          plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="a picture of the results")] = None,
          value: Annotated[str | None, typer.Option("--value", metavar="NAME", help="what to plot; default: the first reported")] = None,
          output: FormatOption = Format.TABLE) -> None:
    """Run a template under every combination of values, and show what agents reported. Exit code 11 if a run failed."""
    from models.errors import ExperimentFailed
    from swapbed import sweeping
    from swapbed.cli.options import seconds
    from swapbed.present.output import table
    from swapbed.present.progress import progress
    from swapbed.sources.source import assignments

    if plot is not None:
        from swapbed.pictures.forms import form_of

        form_of(plot)  # rather now than when all is done
    with progress() as report:
        done = sweeping.sweep(source, assignments(grid, "the grid", "DELAY=5ms,10ms"), repeats=repeats, parallel=parallel, resume=resume,
                              report=report, limit_s=None if limit is None else seconds(limit, "--limit"),
                              parameters=assignments(parameters))
    rows = done.rows()
    if output is Format.JSON:
        print_json(rows)
    else:
        columns = list(dict.fromkeys(name for row in rows for name in row))
        print_text(table(None, columns, [[row.get(name) for name in columns] for row in rows]))
    if plot is not None:
        note(f"plotted: {done.plot(plot, value)}")
    failed = [point for point in done.points if point.outcome != "ok"]
    if failed:
        raise ExperimentFailed(f"{len(failed)} of {len(rows)} runs did not end well; the first: {failed[0].error or failed[0].outcome}",
                               where=" ".join(f"{name}={value}" for name, value in failed[0].parameters.items()))


def register(app: typer.Typer) -> None:
    app.command()(sweep)
