"""From what is said of a link or LAN to the pipes of its members."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages.addresses import DeclaredLan
from languages.links import named, read_lan, read_link
from languages.words import Misread
from models.shaping import halves, path, pipe_value
from models.spec import Queue, Red, Shaping


def link(**said) -> DeclaredLan:
    return read_link("l", {"endpoints": ["a", "b"], **said}, (4,))


def lan(members, **said) -> DeclaredLan:
    return read_lan("l", {"members": members, **said}, (4,), lambda pattern: ["a", "b"])


def test_a_links_delay_and_loss_are_shared_by_the_two_pipes_of_each_way() -> None:
    """Conformance case 01: 35 ms and 2 % of the link."""
    for member in link(bandwidth="1500Kb", delay="35ms", loss="2%").members:
        for pipe in (member.uplink, member.downlink):
            assert pipe == Shaping(bandwidth_bps=1_500_000, delay_s=0.0175, loss=0.01005050633883342)


def test_jitter_belongs_to_one_pipe_of_each_way_so_that_its_distribution_is_exact() -> None:
    first, second = link(delay="20ms", jitter="2ms", distribution="normal").members
    assert (first.uplink.jitter_s, first.downlink.jitter_s, second.uplink.jitter_s, second.downlink.jitter_s) == (0.002, 0, 0.002, 0)


def test_each_way_of_a_link_may_differ() -> None:
    a, b = link(bandwidth="10Mb", delay="10ms", backward={"delay": "40ms", "bandwidth": "1Mb"}).members
    assert path(a.uplink, b.downlink) == Shaping(bandwidth_bps=10_000_000, delay_s=0.01)
    assert path(b.uplink, a.downlink) == Shaping(bandwidth_bps=1_000_000, delay_s=0.04)


def test_what_is_said_of_a_member_is_its_pipes_own() -> None:
    """Conformance case 02: a member's own delay is not halved; simplex values are of one pipe."""
    office = lan({"a": None, "b": {"delay": "12ms", "uplink": {"bandwidth": "2Mb"}, "downlink": {"loss": 0.04}}}, bandwidth="54Mb",
    delay="6ms")
    a, b = office.members
    assert a.uplink == a.downlink == Shaping(bandwidth_bps=54_000_000, delay_s=0.003)
    assert b.uplink == Shaping(bandwidth_bps=2_000_000, delay_s=0.012)
    assert b.downlink == Shaping(bandwidth_bps=54_000_000, delay_s=0.012, loss=0.04)


@pytest.mark.parametrize(("said", "queue"), [
    (33, Queue(limit=33)), ("33", Queue(limit=33)), ("64KB", Queue(limit=64000, unit="bytes")),
    ({"limit": 1000, "unit": "bytes"}, Queue(limit=1000, unit="bytes")),
    ({"red": {"min": 8, "max": 20, "gentle": True}}, Queue(discipline="red", red=Red(min_threshold=8, max_threshold=20, gentle=True))),
    ({"discipline": "red"}, Queue(discipline="red")), ({"discipline": "droptail", "limit": 7}, Queue(limit=7))])
def test_queues(said, queue: Queue) -> None:
    assert link(queue=said).members[0].uplink.queue == queue


def test_ends_are_nodes_interfaces_or_mappings() -> None:
    made = read_link("l", {"endpoints": ["a:eth7", {"node": "b", "interface": "wan", "mac": "AA-BB-CC-00-00-01",
    "ipv4": "10.0.0.1/24"}]}, (4,))
    assert (made.members[0].node, made.members[0].interface) == ("a", "eth7")
    assert (made.members[1].mac, made.members[1].addresses) == ("aa:bb:cc:00:00:01", ("10.0.0.1/24",))


def test_links_without_a_name_are_called_after_their_ends() -> None:
    taken = {"a-b", "a-b-2"}
    assert named(link(), None, taken.__contains__).name == "a-b-3"
    assert named(link(), "wan", taken.__contains__).name == "wan"


@pytest.mark.parametrize(("read", "message", "path_of_error"), [
    (lambda: link(delay="20"), "delay '20' lacks its unit", ("delay",)),
    (lambda: link(dealy="20ms"), "unknown key 'dealy' in a link", ("dealy",)),
    (lambda: link(queue={"red": {"min": "x"}}), "min: expected a number, not 'x'", ("queue", "red", "min")),
    (lambda: link(queue={"limit": "64KB", "unit": "packets"}), "limit '64KB' is in bytes, but unit says packets", ("queue", "unit")),
    (lambda: link(queue={"limit": 0}), "limit: input should be greater than 0", ("queue",)),
    (lambda: link(queue={"dicipline": "red"}), "unknown key 'dicipline' in a queue", ("queue", "dicipline")),
    (lambda: link(forward={"delay": "x"}), "delay 'x' is not understood", ("forward", "delay")),
    (lambda: link(loss=7), "loss '7' is more than everything", ("loss",)),
    (lambda: link(distribution="gauss"), "expected uniform or normal or pareto, not 'gauss'", ("distribution",)),
    (lambda: link(addressing="ipv5"), "expected ipv4 or ipv6 or dual or none, not 'ipv5'", ("addressing",)),
    (lambda: read_link("l", {"endpoints": ["a"]}, (4,)), "expected two endpoints, not 1", ("endpoints",)),
    (lambda: read_link("l", {"endpoints": ["a", "b:"]}, (4,)), "'b:' is not an end: expected NODE or NODE:INTERFACE", ("endpoints", 1)),
    (lambda: read_link("l", {}, (4,)), "expected two endpoints, as in [h1, h2]", ()),
    (lambda: lan(["a", {"node": "b", "delay": "1"}]), "delay '1' lacks its unit", ("members", 1, "delay")),
    (lambda: lan({"a": {"uplink": {"loss": "x"}}}), "loss 'x' is not understood", ("members", "a", "uplink", "loss")),
    (lambda: read_lan("l", {}, (4,), lambda _: []), "LAN 'l' lacks its members", ()),
])
def test_what_is_wrong_is_said_with_the_way_to_it(read, message: str, path_of_error: tuple) -> None:
    with pytest.raises(Misread) as error:
        read()
    assert message in str(error.value) and error.value.path == path_of_error


shapings = st.builds(Shaping, bandwidth_bps=st.integers(0, 10**10), delay_s=st.floats(1e-9, 10), jitter_s=st.floats(0, 1),
                     loss=st.floats(0, 0.999), queue=st.builds(Queue, limit=st.integers(1, 1000)))


@given(shapings)
def test_the_path_through_both_pipes_is_what_was_asked_of_the_link(whole: Shaping) -> None:
    up, down = halves(whole)
    there = path(up, down)
    assert there.model_copy(update={"loss": whole.loss}) == whole.model_copy(update={"jitter_distribution": there.jitter_distribution})
    assert math.isclose(there.loss, whole.loss, abs_tol=1e-12)


@given(st.floats(0, 1))
def test_an_event_divides_as_the_definition_does(loss: float) -> None:
    assert pipe_value("loss", loss, "uplink") == halves(Shaping(loss=loss))[0].loss
    assert pipe_value("bandwidth_bps", 5, "downlink") == 5 and pipe_value("queue_limit", 7, "uplink") == 7
