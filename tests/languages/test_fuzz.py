"""Whatever a file says, it evaluates or is refused at a place: nothing else ever comes out."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from languages.evaluate import Evaluation, Source, evaluate
from languages.yaml_writer import write_yaml
from models.errors import InvalidInput
from tests.languages.test_containerlab import SRL
from tests.languages.test_yaml import DUMBBELL

FULL = """\
name: x
addressing: dual
nodes: {a: {routes: {10.9.0.0/16: 10.1.1.3}}, b: {volumes: ["x:/y"], tarballs: [{directory: /o, path: t}]}}
links: [{endpoints: [a, b], delay: 1ms, forward: {loss: 1%}, queue: {red: {min: 1}}}]
lans: {l: {members: {a: {uplink: {delay: 1ms}}, b: }, trace: {what: packet}, network: 10.7.0.0/24}}
agents: {p: {node: a, command: c, timeout: 1s}, t: {traffic: udp, from: a, to: b, rate: 1Mb}}
groups: {g: [p]}
sequences: {s: {steps: [g run, a-b down], on_error: r}, r: []}
timelines: {c: {1s: s start}}
timeline: [{0s: s start}, "1s: a reboot", {at: 2s, do: p kill TERM}, {on: swapout, do: p stop}]
collect: {a: [/x]}
rules: {keep: "*"}
"""
ODD = ["", "~", "-1", "0", "1e400", "nan", "[]", "{}", "[[]]", "{x: y}", "[a, {b: c}]", "'${'", "'${X}'", "'${1/0}'", "a:eth1",
"99999999999999999999", "true",
       "10.1.1.1/24", "255.255.255.0", "fd00::1", "*", "'*'", "&q", "instance", "a b", "a-b", "x" * 70, "é", "1ms", "10Mb", "'='",
       "topology", "<<", "!!int 3", "none"]


def evaluated(text: str) -> Evaluation | None:
    try:
        return evaluate(Source("f.yml", text, "yaml"))
    except InvalidInput as error:
        assert error.where is not None and error.where.startswith("f.yml")
        assert error.what and "Traceback" not in str(error)
        return None


@st.composite
def spoiled(draw: st.DrawFn) -> str:
    """A good file with a few of its words replaced, doubled or dropped."""
    text = draw(st.sampled_from([DUMBBELL, SRL, FULL]))
    for _ in range(draw(st.integers(1, 3))):
        starts = [i for i in range(len(text)) if text[i].isalnum() and (i == 0 or not text[i - 1].isalnum())]
        start = draw(st.sampled_from(starts))
        end = start
        while end < len(text) and text[end] not in " ,:[]{}\n":
            end += 1
        odd = draw(st.sampled_from([*ODD, text[start:end] * 2, ""]))
        text = text[:start] + odd + text[end:]
    return text


@given(spoiled())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_spoiled_file_evaluates_or_is_refused_at_a_place(text: str) -> None:
    made = evaluated(text)
    if made is not None:
        made.spec.model_dump_json()
        write_yaml(made.spec)


keys = st.sampled_from(["name", "nodes", "links", "lans", "members", "endpoints", "a", "b", "delay", "queue", "each", "count",
"agents", "node", "timeline", "1s", "topology",
                        "parameters", "default", "groups", "sequences", "steps", "collect", "rules", "kind", "image", "exec",
                        "routes", "forward"])
leaves = st.sampled_from(ODD + ["a", "b", "a up", "1s: a reboot"])
trees = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]") | st.dictionaries(
    keys, inner, max_size=4).map(lambda d: "{" + ", ".join(f"{k}: {v}" for k, v in d.items()) + "}"), max_leaves=15)


@given(st.dictionaries(keys, trees, max_size=5))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_shape_of_file_evaluates_or_is_refused_at_a_place(parts: dict[str, str]) -> None:
    evaluated("\n".join(f"{key}: {value}" for key, value in parts.items()))
