"""Every example does what it is there to show, in a short version."""

import re
import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

import swapbed
from swapbed.living import results
from tests.swapbed.conftest import EXAMPLES, call

pytestmark = pytest.mark.usefixtures("installation")


def played(net: swapbed.Instance) -> dict[str, results.Invocation]:
    """Its agents, after its run went well."""
    run = net.wait(timeout_s=90)
    assert run.outcome == "ok", run.reason
    return {one.agent: one for one in net.results()}


def test_each_is_known_here() -> None:
    known = {"dumbbell", "failover", "star100", "chain", "clab", "sweep", "notebook"}
    assert {path.name for path in EXAMPLES.iterdir() if path.is_dir()} == known, "a new example wants a test"


def test_dumbbell_is_plotted(tmp_path: Path) -> None:
    with swapbed.deploy(EXAMPLES / "dumbbell", DURATION=2, DISCIPLINE="droptail", PAIRS=3) as net:
        assert {"flow1", "flow2", "flow3"} <= set(played(net))
        runpy.run_path(str(EXAMPLES / "dumbbell" / "plot.py"))["plot"](net, tmp_path / "dumbbell.png")
    assert (tmp_path / "dumbbell.png").read_bytes()[:4] == b"\x89PNG"


def test_failover_goes_round_and_comes_back() -> None:
    with swapbed.deploy(EXAMPLES / "failover", DURATION=5, FAIL_AT="1s", HEAL_AT="3s") as net:
        done = played(net)
        assert 0.1 < float(done["stream"].results["outage_s"]) < 2, "shorter than the failure: traffic went round it"
        for router, gateways in (("west", ["10.0.1.2", "10.0.3.2", "10.0.1.2"]), ("east", ["10.0.2.1", "10.0.4.1", "10.0.2.1"])):
            assert re.findall(r"via (\S+)", net.log(f"watch-{router}")) == gateways


def test_star100_all_answer() -> None:
    with swapbed.deploy(EXAMPLES / "star100", COUNT=2) as net:
        done = played(net)
        assert len(done) == 100 and all(float(one.results["rtt_ms"]) >= 4 for one in done.values())


def test_chain_adds_up() -> None:
    with swapbed.deploy(EXAMPLES / "chain", hops=3, step_ms=2) as net:
        rtt_ms = float(played(net)["trip"].results["rtt_ms"])
        assert 40 <= rtt_ms < 60, "there and back over 2 + 4 + 6 + 8 ms"


def test_a_containerlab_file_runs_as_it_stands() -> None:
    with swapbed.deploy(EXAMPLES / "clab") as net:
        assert any("nokia_srlinux" in warning for warning in net.warnings)
        net["h1"].run("ping -n -q -c 1 -W 3 h2", check=True)
        assert net.wait("idle", timeout_s=30).state == "running", "nothing in the file ends its run"
        assert "eth1" in net.log("h1-exec")


def test_the_demo_tells_what_came_of_it() -> None:
    said = call("demo", "-S", "DURATION=5", timeout_s=200)
    assert said.returncode == 0, said.stderr
    for expected in ("dumbbell-1 is up", "swapout: everything stands still", "swapin: it goes on", "run 1 is over: ok",
                     "noticed of the swap", "What each agent did", "throughput", "exit code 0",
                     "What was asked of links", "10 Mbit/s", "dumbbell.png", "kept in the store as rec-", "replayed from its record",
                     "what programs wrote differ", "nothing is left"):
        assert expected in said.stdout, expected


def test_sweep_is_plotted(tmp_path: Path) -> None:
    sweep = runpy.run_path(str(EXAMPLES / "sweep" / "sweep.py"))["main"]
    done = sweep(tmp_path / "sweep.png", delays=("5ms",), flows=(1, 2), DURATION=1)
    assert [point.outcome for point in done.points] == ["ok", "ok"] and all(row["flow1.throughput_bps"] > 0 for row in done.rows())
    assert (tmp_path / "sweep.png").read_bytes()[:4] == b"\x89PNG"


def test_the_notebook_is_executed() -> None:
    """In a kernel of this very environment, whose event loop is running: what every notebook has, and what a command has not."""
    notebook = nbformat.read(EXAMPLES / "notebook" / "dumbbell.ipynb", as_version=4)
    try:
        NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(EXAMPLES / "notebook")}}).execute()
    except BaseException:
        call("destroy", "notebook")
        raise
    cells = {cell["source"].splitlines()[0]: cell["outputs"] for cell in notebook.cells if cell["cell_type"] == "code"}
    shown, (ping,), link, run, gone = cells.values()
    assert "<svg" in shown[-1]["data"]["text/html"] and "bottleneck" in shown[-1]["data"]["text/html"]
    assert re.search("[123] received", ping["text"]) and "15 ms" in link[-1]["data"]["text/html"]
    assert "ok" in run[-1]["data"]["text/plain"] and not gone
