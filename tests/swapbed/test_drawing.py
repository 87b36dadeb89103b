"""Pictures of topologies: what is on them, and that both ways of drawing them draw."""

import struct
import xml.etree.ElementTree as ElementTree

import pytest

from languages.builder import Topology
from models.errors import InvalidInput
from models.spec import Spec
from swapbed.pictures import drawing
from swapbed.pictures.drawing import dot, mermaid, render
from swapbed.pictures.drawing_plot import plot, positions


@pytest.fixture
def spec() -> Spec:
    net = Topology("mixed")
    a, b, c = net.node("a"), net.node("b", kind="vm", image="tiny"), net.node('c')
    net.link(a, b, name="wan", bandwidth="10Mb", delay="20ms", loss="1%", backward={"delay": "40ms"})
    net.link(a, c, name="plain")
    net.lan("office", [a, b, c], delay="6ms")
    net.lan("uneven", {"a": {"bandwidth": "1Mb"}, "c": None})
    return net.spec()


def test_dot_says_what_each_link_does_to_traffic(spec: Spec) -> None:
    text = dot(spec)
    assert "a → 10 Mbit/s  20 ms  1 %<br/>b → 10 Mbit/s  40 ms  1 %" in text
    assert '"n:a" -- "n:c";' in text, "an unshaped link is a line and nothing else"
    assert "6 ms" in text and "1 Mbit/s" in text
    assert text.count("peripheries=2") == 1, "VMs look different"


def test_mermaid_names_everything(spec: Spec) -> None:
    lines = mermaid(spec).splitlines()
    assert lines[0] == "graph LR"
    assert '  n0("a")' in lines and '  n1[["b"]]' in lines and '  l2(("office"))' in lines
    assert '  n0 ---|"a → 10 Mbit/s  20 ms  1 %<br/>b → 10 Mbit/s  40 ms  1 %"| n1' in lines


@pytest.mark.parametrize("draw", [render, plot], ids=["graphviz", "matplotlib"])
def test_svg_and_png_are_drawn(spec: Spec, draw) -> None:
    svg = ElementTree.fromstring(draw(spec, "svg"))
    assert svg.tag.endswith("svg")
    png = draw(spec, "png")
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    assert width > 150 and height > 80


def test_without_graphviz_matplotlib_draws(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing.shutil, "which", lambda _: None)
    assert b"<svg" in render(spec, "svg")


def test_names_cannot_break_out_of_a_picture() -> None:
    net = Topology("odd")
    net.lan("a-lan", [net.node("x", image='/images/<b>"&'), net.node("y")])
    ElementTree.fromstring(render(net.spec(), "svg"))


def test_an_empty_topology_is_an_empty_picture() -> None:
    assert render(Topology("none").spec(), "svg")
    assert plot(Topology("none").spec(), "png")
    assert len(positions(0, [])) == 0


def test_the_same_topology_gives_the_same_picture(spec: Spec) -> None:
    assert render(spec, "svg") == render(spec, "svg")


@pytest.mark.parametrize(("nodes", "layout"), [(5, "layout=dot"), (100, "layout=sfdp")])
def test_the_layout_suits_the_size(nodes: int, layout: str) -> None:
    net = Topology("chain")
    made = net.nodes("n{}", nodes)
    for first, second in zip(made, made[1:], strict=False):
        net.link(first, second)
    assert layout in dot(net.spec())


def test_a_ring_is_no_tree(spec: Spec) -> None:
    assert "layout=neato" in dot(spec)


def test_an_unknown_format_is_refused(spec: Spec) -> None:
    with pytest.raises(InvalidInput, match="unknown picture format 'gif'. Expected one of dot, mermaid, svg, png"):
        render(spec, "gif")
