"""Where the time of a flow run went: its tasks, as Prefect has them."""

from __future__ import annotations

import json
import time
import urllib.request
from datetime import datetime

from swapbed.serving import server

PATIENCE_S, POLL_S = 30.0, 0.5


def tasks(flow_run: str, last: str) -> dict[str, tuple[datetime, datetime]]:
    """Name → when it began and ended. last: how the name of the last begins: Prefect's server writes them down some time after the fact."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        found = {run["name"]: (_instant(run["start_time"]), _instant(run["end_time"])) for run in _ask(flow_run) if run["end_time"]}
        if any(name.startswith(last) for name in found):
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"Prefect knows no end of '{last}' in {flow_run}, but of {', '.join(found)}")
        time.sleep(POLL_S)


def _ask(flow_run: str) -> list[dict[str, str]]:
    body = json.dumps({"flow_runs": {"id": {"any_": [flow_run]}}}).encode()
    request = urllib.request.Request(f"{server.ensure()}/task_runs/filter", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
