"""`up`, `down` and `status`: the local Prefect server and the controller beside it, and an S3 store, where one was asked for.

Commands that need them start them by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from swapbed.cli.options import FormatOption
from swapbed.present.output import Format, note, print_json, print_text

if TYPE_CHECKING:
    from swapbed.serving.server import Status

StoreOption = Annotated[bool, typer.Option("--store", help="keep everything in an S3 server of our own, from now on (without Docker)")]


def up(store: StoreOption = False, output: FormatOption = Format.TABLE) -> None:
    """Start the local Prefect server and the controller, if they do not run; print where Prefect's pages are."""
    from swapbed.present.progress import progress
    from swapbed.privilege import require_root
    from swapbed.serving import server, store_server

    with progress() as report:
        if store:
            require_root()
            report("starting the store", 0, 0)
            store_server.choose()
        report("starting Prefect and the controller", 0, 0)
        server.ensure()
    _show(output)


def down(output: FormatOption = Format.TABLE) -> None:
    """Stop the controller, the local Prefect server and the store of our own. Instances live on, and so does what is stored."""
    from swapbed.serving import server

    before = server.down()
    if output is Format.JSON:
        print_json(before)
        return
    stopped = [name for name in ("controller", "server", "store") if getattr(before, name)]
    note(f"stopped: {', '.join(stopped)}" if stopped else "nothing was running")


def status(output: FormatOption = Format.TABLE) -> None:
    """Show whether they run, where Prefect's pages are, and what this installation uses."""
    _show(output)


def _show(output: Format) -> None:
    from models.settings import settings
    from swapbed.present.output import table
    from swapbed.serving import server

    now = server.status()
    chosen = settings()
    if output is Format.JSON:
        print_json({**now.model_dump(mode="json"), "ui": now.ui, "state_dir": str(chosen.state_dir), "project": chosen.project})
        return
    running = {part: f"running, process {process.pid}" if process else "not running"
               for part, process in (("server", now.server), ("controller", now.controller), ("store", now.store))}
    print_text(table(None, ("part", "now"), (
        ("Prefect server", "elsewhere" if now.external else running["server"]), ("pages", now.ui or "–"),
        ("controller", running["controller"]),
        ("store", _store(now, running["store"])), ("state", chosen.state_dir), ("project", chosen.project))))


def _store(now: Status, process: str) -> str:
    """A directory needs no process, and of somebody else's server we know the address only."""
    from swapbed.serving import store_server

    return f"{now.store_url}, {process}" if store_server.chosen() else now.store_url


def register(app: typer.Typer) -> None:
    for command in (up, down, status):
        app.command()(command)
