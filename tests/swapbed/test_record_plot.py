"""A record as a picture, in files, notebooks and Prefect's pages, wherever there is something to draw."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

import swapbed
from models.errors import InvalidInput, NotFound
from nodeops import pcapng
from swapbed import record_verbs, templates
from tasks import record_plot
from tasks.trace_reading import frames_of, ways
from tests.swapbed.conftest import Cli

EXPERIMENT = """
parameters: {COUNT: 20}
nodes: {a: {}, b: {}}
links: [{name: wire, endpoints: [a, b], bandwidth: 1Mb, delay: 5ms, loss: 20%, trace: true}]
agents:
  pinger: {node: a, command: "ping -c $COUNT -i 0.02 -s 500 -q b; echo RESULT count $COUNT; echo RESULT words none"}
timeline: {0s: pinger run}
"""


def test_a_real_record_is_drawn_everywhere(installation: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "drawn.yml").write_text(EXPERIMENT)
    with swapbed.deploy(tmp_path / "drawn.yml", name="drawn") as net:
        net.wait("idle", timeout_s=60)
        record = swapbed.Record(record_verbs.of_run(net.stop().id))
        _seen_in_prefect()
        assert "<td>outcome</td>" in net.runs[0]._repr_html_() and "COUNT" in net.runs[0]._repr_html_()
    seen = record_plot.look(record.known.row)
    assert seen.results == {"count": 20} and [name for name, _, _ in seen.programs] == ["pinger"]
    assert {way.place for way in seen.traced} == {"wire:a:eth1", "wire:b:eth1"}
    delays = [delay for way in seen.traced for _, delay in way.delays]
    assert delays and min(delays) >= 0.005 and sum(map(sum, (way.rates_bps for way in seen.traced))) > 0
    assert record.plot(tmp_path / "x.png")._repr_png_()[:4] == b"\x89PNG" == (tmp_path / "x.png").read_bytes()[:4]
    assert cli("record", "plot", "drawn/1", "x.svg").returncode == 0
    drawn = (tmp_path / "x.svg").read_text()
    assert "<svg" in drawn
    refused = cli("record", "plot", "drawn/1", "x.docx")
    assert refused.returncode == 3 and ".svg" in refused.stderr
    with pytest.raises(InvalidInput, match="form of picture"):
        record.plot().save("x.txt")
    assert "drawn@1" in templates.log("drawn")._repr_html_() and "COUNT" in templates.show("drawn")._repr_html_()
    assert "drawn/1" in record._repr_html_()


def _seen_in_prefect() -> None:
    """The record's flow publishes after the record is committed."""
    import time

    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    keys = ["topology-drawn", "record-drawn", "results-drawn", "template-drawn"]
    deadline = time.monotonic() + 120
    with get_client(sync_client=True) as client:
        while True:
            found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=keys)))
            shown = {artifact.key: artifact for artifact in found}
            if set(shown) == set(keys) and "](/artifacts/key/record-drawn)" in str([one.data for one in found if one.key == keys[3]]):
                break
            assert time.monotonic() < deadline, sorted(shown)
            time.sleep(0.1)
    assert "](/artifacts/key/template-drawn)" in str(shown["topology-drawn"].data)
    assert "](/artifacts/key/topology-drawn)" in str(shown["record-drawn"].description)
    image = str(shown["results-drawn"].data)
    assert base64.b64decode(image.partition("base64,")[2])[:4] == b"\x89PNG"


def test_a_record_of_nothing_says_so(installation: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "still.yml").write_text("nodes: {a: }\n")
    with swapbed.deploy(tmp_path / "still.yml", name="still") as net:
        record = swapbed.Record(record_verbs.of_run(net.stop().id))
    with pytest.raises(NotFound, match="nothing in this record to draw"):
        record.plot()
    assert cli("record", "plot", "still/1", "x.png").returncode == 4 and not (tmp_path / "x.png").exists()


def test_a_capture_tells_rates_and_times_under_way() -> None:
    capture = pcapng.section("c", "a") + pcapng.interface("l:a:e", 0) + pcapng.interface("l:b:e", 0)
    for number in range(10):
        at_ns = number * 10_000_000
        capture += pcapng.packet(0, at_ns, bytes([number]) * 60, 1250, pcapng.OUTBOUND)
        if number != 3:  # lost
            capture += pcapng.packet(1, at_ns + 5_000_000, bytes([number]) * 60, 1250, pcapng.INBOUND)
    (way,) = ways(frames_of(capture))
    assert [round(delay * 1000) for _, delay in way.delays] == [5] * 9
    assert abs(sum(way.rates_bps) * (way.seconds[1] - way.seconds[0]) - 10 * 1250 * 8) < 1
    assert len(list(frames_of(capture[:-10]))) == 18 and list(frames_of(b"")) == []
