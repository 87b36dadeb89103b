"""The flows by name, one per lifecycle step a person would name. Loaded when used: Prefect takes a second to import."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from models.errors import NotFound

FLOWS: dict[str, str] = {
    "instantiate": "flows.instantiate", "start_run": "flows.start_run", "stop_run": "flows.stop_run", "destroy": "flows.destroy",
    "recover": "flows.recover", "mend": "flows.mend", "modify": "flows.modify", "finalize_record": "flows.finalize_record",
    "replay": "flows.replay", "nightly_replay": "flows.nightly_replay", "sweep": "flows.sweep",
    "collect_garbage": "flows.collect_garbage", "swapout": "flows.swapout", "swapin": "flows.swapin",
    "checkpoint": "flows.checkpoint", "fork": "flows.fork", "handoff": "flows.handoff",
}


def load(name: str) -> Any:
    """The Prefect flow of that name."""
    if name not in FLOWS:
        raise NotFound(f"there is no flow '{name}'", next=f"There are: {', '.join(sorted(FLOWS))}")
    return getattr(import_module(FLOWS[name]), name)
