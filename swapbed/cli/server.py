"""`up`, `down` and `status`: the local Prefect server and the controller beside it. Commands that need them start them by themselves."""

from __future__ import annotations

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text


def up(output: FormatOption = Format.TABLE) -> None:
    """Start the local Prefect server and the controller, if they do not run; print where Prefect's pages are."""
    from swapbed import server
    from swapbed.present.progress import progress

    with progress() as report:
        report("starting Prefect and the controller", 0, 0)
        server.ensure()
    _show(output)


def down(output: FormatOption = Format.TABLE) -> None:
    """Stop the controller and the local Prefect server. Instances live on."""
    from swapbed import server

    before = server.down()
    if output is Format.JSON:
        print_json(before)
        return
    stopped = [name for name in ("controller", "server") if getattr(before, name)]
    note(f"stopped: {' and '.join(stopped)}" if stopped else "nothing was running")


def status(output: FormatOption = Format.TABLE) -> None:
    """Show whether they run, where Prefect's pages are, and what this installation uses."""
    _show(output)


def _show(output: Format) -> None:
    from models.settings import settings
    from swapbed import server
    from swapbed.present.output import table

    now = server.status()
    chosen = settings()
    if output is Format.JSON:
        print_json({**now.model_dump(mode="json"), "ui": now.ui, "state_dir": str(chosen.state_dir), "project": chosen.project})
        return
    running = {part: f"running, process {process.pid}" if process else "not running"
               for part, process in (("server", now.server), ("controller", now.controller))}
    print_text(table(None, ("part", "now"), (
        ("Prefect server", "elsewhere" if now.external else running["server"]), ("pages", now.ui or "–"),
        ("controller", running["controller"]), ("state", chosen.state_dir), ("project", chosen.project))))


def register(app: typer.Typer) -> None:
    for command in (up, down, status):
        app.command()(command)
