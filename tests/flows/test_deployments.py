"""What prefect.yaml says is accepted by a real server, and run by a real worker."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from flows import FLOWS, load
from models.states import InstanceState
from models.tables import Instance

ROOT = Path(__file__).parents[2]


def _prefect(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("prefect")), "--no-prompt", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_flow_has_a_deployment() -> None:
    written = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    wanted = {f"{module.replace('.', '/')}.py:{name}" for name, module in FLOWS.items()}
    assert {deployment["entrypoint"] for deployment in written} == wanted


def test_flows_take_ids_and_switches_only(prefect_server: str) -> None:
    """What is expunged must not live on in Prefect's database."""
    for name in FLOWS:
        parameters = load(name).parameters.properties
        assert all(key.endswith("_id") or key == "lease" or kind.get("type") == "boolean" for key, kind in parameters.items()), name


def test_deploy_all_is_accepted_and_a_worker_runs_a_deployment(prefect_server: str, state_dir: Path, define: Callable[..., Instance],
                                                                look: Callable[[str], Instance]) -> None:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate
    from prefect.deployments import run_deployment

    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="swapbed", type="process"))
    _prefect("deploy", "--all")
    instance = define()
    run_deployment("destroy/swapbed", parameters={"instance_id": instance.id}, timeout=0)
    nightly = run_deployment("nightly-replay/nightly", timeout=0)
    _prefect("worker", "start", "--pool", "swapbed", "--type", "process", "--run-once")
    assert look(instance.id).state is InstanceState.FAILED  # it never was up, and its end is orderly
    with get_client(sync_client=True) as client:
        (schedule,) = client.read_deployment_by_name("nightly-replay/nightly").schedules
        assert schedule.active and schedule.schedule.cron == "47 1 * * *"
        assert client.read_flow_run(nightly.id).state.is_completed()  # of no record, for none is noted so
