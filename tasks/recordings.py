"""Recordings live in their instance's conductor; what they hold is kept in the database before that goes away."""

from __future__ import annotations

from models.database import writing
from models.errors import NotFound, SwapbedError
from models.instances import instance_by_id
from models.protocol.conductor import Recordings
from models.protocol.control import Nothing
from models.recordings import keep_recordings
from tasks.daemons import ask_conductor
from tasks.progress import report


def rescue_recordings(instance_id: str) -> None:
    """Before its conductor ends. An instance without one has none that are not kept already; no recording is worth keeping hosts for."""
    try:
        present = ask_conductor(instance_id, "recordings", Nothing(), Recordings).recordings
    except NotFound:
        return
    except SwapbedError as error:
        report(f"what was recorded since it was last looked at is lost: {error}")
        return
    if present:
        with writing() as session:
            keep_recordings(session, instance_by_id(session, instance_id), present)
