"""Patience with a run that is ending: who starts the next one the moment the last is over need not know who still works on its end."""

from __future__ import annotations

import time

from models.database import reading
from models.errors import SwapbedError
from models.instances import current_run
from models.protocol.conductor import Runs
from models.protocol.control import Nothing
from models.states import RunState
from models.tables import Run
from swapbed.living.access import Access
from swapbed.present.progress import Report, quiet

PATIENCE_S, POLL_S = 60.0, 0.1
ENDING = ("stopping", "ending", "over")


def await_end(instance_id: str, report: Report = quiet) -> None:
    """Returns when no run is ending any more; at once, if none is, or one goes on that nobody has told to stop."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        with reading() as session:
            run = current_run(session, instance_id)
        if run is None or not _is_ending(run):
            return
        report(f"run {run.number} is ending", 0, 0)
        time.sleep(POLL_S)


def _is_ending(run: Run) -> bool:
    """As the database has it, or already the conductor, to which it happens first."""
    if run.state is not RunState.RUNNING:
        return run.state is RunState.STOPPING
    try:
        with Access.to(run.instance_id) as access:
            current = access.conductor("run", Nothing(), Runs).current
    except SwapbedError:  # what is dead is for whoever starts the run to find
        return False
    return current is not None and current.number == run.number and current.phase in ENDING
