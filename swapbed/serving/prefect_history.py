"""What Prefect keeps of flow runs, and that it keeps nothing of what is expunged: its tables of a record show parameters and results.

Flow runs get ids only, but their artifacts and logs are for people, and Prefect's events repeat them. Its API deletes no events, and says
what it deletes in new ones: so they are taken out of a database that is ours. A server elsewhere keeps events for a week, if not told to
keep them longer.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
import urllib.request
from collections.abc import Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from models.errors import StoreProblem
from storage.expunging import BUSY_S, scrub_file
from swapbed.serving import server

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

PAGE = 200
PATIENCE_S, POLL_S = 20.0, 0.2


def forget(names: Collection[str], ids: Collection[str]) -> None:
    """Delete the flow runs, with artifacts and logs, that were about these ids, of instances with these names; leave none of their bytes in
    a database that is ours. Nothing is done if there never was a Prefect server."""
    external = server.external_api()
    ours = external is None  # else a database may be here all the same, of the server that was used before
    if ours and not _database().exists():
        return
    api = external or server.ensure_server()
    os.environ.update(server.client_environment(api))
    from prefect.client.orchestration import get_client
    from prefect.exceptions import ObjectNotFound, PrefectException

    try:
        with get_client(sync_client=True) as client:
            about = _about(client, names, set(ids))
            deadline = time.monotonic() + PATIENCE_S
            # one at work may yet show something, as a record's table after its commit; one that was killed is not waited for
            while _going_on(client, about) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            about = _about(client, names, set(ids))
            if not ours:
                _forget_shown(client, about)
            for run_id in about:
                with contextlib.suppress(ObjectNotFound):
                    client.delete_flow_run(run_id)
            if ours:
                _await_events(api)
    except (PrefectException, OSError) as error:
        raise StoreProblem(f"Prefect does not let go what it knows ({type(error).__name__}: {str(error)[:200]})", where=api,
                           next="Do it again when its server answers") from error
    if _database().exists():
        _scrub([str(run_id) for run_id in about])


def _about(client: SyncPrefectClient, names: Collection[str], ids: set[str]) -> list[UUID]:
    here = _known_here(ids) if _database().exists() else []
    return list(dict.fromkeys([*_tagged(client, names, ids), *here]))


def _going_on(client: SyncPrefectClient, flow_runs: list[UUID]) -> bool:
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    at_work = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING]))
    theirs = FlowRunFilter(id=FlowRunFilterId(any_=flow_runs), state=at_work)
    return bool(flow_runs and client.read_flow_runs(flow_run_filter=theirs, limit=1))


def _known_here(ids: set[str]) -> list[UUID]:
    """Flow runs that were given one of these ids, whoever started them: a worker's have no tags of ours."""
    with contextlib.closing(sqlite3.connect(_database(), timeout=BUSY_S)) as looking:
        rows = looking.execute("SELECT id, parameters FROM flow_run").fetchall()
    return [UUID(run) for run, parameters in rows if ids.intersection(map(str, json.loads(parameters or "{}").values()))]


def _tagged(client: SyncPrefectClient, names: Collection[str], ids: set[str]) -> list[UUID]:
    """The same as any server tells, which can be asked for tags only."""
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags

    found: list[UUID] = []
    for name in names:
        tagged: Any = FlowRunFilter(tags=FlowRunFilterTags(all_=["swapbed", name]))
        offset = 0
        while runs := client.read_flow_runs(flow_run_filter=tagged, limit=PAGE, offset=offset):
            found += [run.id for run in runs if ids.intersection(map(str, run.parameters.values()))]
            offset += len(runs)
    return list(dict.fromkeys(found))


def _forget_shown(client: SyncPrefectClient, flow_runs: list[UUID]) -> None:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=flow_runs))
    while flow_runs and (shown := client.read_artifacts(artifact_filter=theirs, limit=PAGE)):
        for artifact in shown:
            client.delete_artifact(artifact.id)


def _await_events(api: str) -> None:
    """What the server was told before this is in its database when this returns: it writes events in batches, seconds late, in their order.
    So one of ours goes behind them. Raises StoreProblem if it does not come through."""
    ours = str(uuid4())
    event = {"id": ours, "occurred": datetime.now(UTC).isoformat(), "event": "swapbed.expunging",
             "resource": {"prefect.resource.id": f"swapbed.expunging.{ours}"}}
    posted = urllib.request.Request(f"{api}/events", json.dumps([event]).encode(), {"Content-Type": "application/json"})
    urllib.request.urlopen(posted, timeout=BUSY_S).close()
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.closing(sqlite3.connect(_database(), timeout=BUSY_S)) as looking:
        while looking.execute("SELECT 1 FROM events WHERE id = ?", (ours,)).fetchone() is None:
            if time.monotonic() > deadline:
                raise StoreProblem("Prefect's server does not write down what it is told", where=api, next="Do it again")
            time.sleep(POLL_S)


def _scrub(flow_runs: list[str]) -> None:
    """Their artifacts, logs and events; then free pages and write-ahead log, as in our own database. The server may be at work."""
    with contextlib.closing(sqlite3.connect(_database(), timeout=BUSY_S, isolation_level=None)) as alone:
        alone.execute("PRAGMA secure_delete = ON")
        for run_id in flow_runs:
            for table in ("artifact", "artifact_collection", "log"):
                alone.execute(f"DELETE FROM {table} WHERE flow_run_id = ?", (run_id,))
            alone.execute("DELETE FROM events WHERE instr(related, ?) OR instr(resource, ?)", (run_id, run_id))
        scrub_file(alone)


def _database() -> Path:
    return server.home() / "prefect.db"
