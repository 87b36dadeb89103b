"""Other parameter values for the run that goes on in a checkpoint, before it comes back to life as somebody else's."""

from __future__ import annotations

from collections.abc import Mapping

from models.errors import Corrupt
from nodeops.checkpoint.spool import Spool
from nodeops.conductor.memory import Remembered
from nodeops.conductor.suspension import STATE
from nodeops.whole_file import write_whole


def rebind(spool: Spool, parameters: Mapping[str, str]) -> None:
    """What is started in that run from now on has these values; what runs already keeps the environment it was started with.

    Nothing if no run goes on. The spool is changed.
    """
    path = spool.conductor / STATE
    try:
        saved = Remembered.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        raise Corrupt(f"the conductor's saved state cannot be read: {error}", where=str(path)) from error
    if parameters and saved.state.run is not None and saved.state.run.phase != "over":
        saved.state.run.parameters = saved.state.run.parameters | dict(parameters)
        write_whole(path, saved.model_dump_json().encode())
