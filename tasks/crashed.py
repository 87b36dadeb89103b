"""Telling Prefect of a flow run whose process is dead, which nobody else would: it would look as if it ran for ever."""

from __future__ import annotations

from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound
from prefect.states import Crashed


def declare_crashed(flow_run_id: str | None) -> None:
    """Nothing if it has ended, or if this server does not know it."""
    if flow_run_id is None:
        return
    with get_client(sync_client=True) as client:
        try:
            run = client.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return
        if run.state is None or not run.state.is_final():
            client.set_flow_run_state(run.id, Crashed(message="Its process is dead; the controller recovers what it left"), force=True)
