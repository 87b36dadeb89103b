"""Python files as templates: evaluated in a child process that may not last, grow or take anything along."""

import os
import time
from pathlib import Path

import pytest

from languages import python_language
from languages.confined import Limits, ask
from languages.evaluate import Source, evaluate, parameters_of
from models.errors import InvalidInput
from models.spec import Parameter, Spec


def python(text: str, directory: Path | None = None, **values: str) -> Spec:
    return evaluate(Source("t.py", text, "python", directory), values).spec


STAR = '''\
from typing import Annotated


def build(net, clients: Annotated[int, "how many"] = 2, delay="20ms", quiet: bool = False):
    hub = net.node("hub")
    for client in net.nodes("client-{}", clients):
        net.link(client, hub, delay=delay)
    net.parameter("EXTRA", 1.5, "one more")
    print("built", quiet, type(clients).__name__)
'''


def test_a_file_with_build_is_a_template(capfd: pytest.CaptureFixture) -> None:
    spec = python(STAR, clients="3", quiet="yes")
    assert [n.name for n in spec.nodes] == ["hub", "client-0", "client-1", "client-2"] and spec.name == "t"
    assert [(p.name, p.value) for p in spec.parameters] == [("clients", "3"), ("delay", "20ms"), ("quiet", "true"), ("EXTRA", "1.5")]
    said = capfd.readouterr()
    assert said.err == "built True int\n" and said.out == ""


def test_parameters_are_known_without_values() -> None:
    assert parameters_of(Source("t.py", STAR, "python")) == (
        Parameter(name="clients", default="2", value="2", type="integer", description="how many"),
        Parameter(name="delay", default="20ms", value="20ms"), Parameter(name="quiet", default="false", value="false", type="boolean"),
        Parameter(name="EXTRA", default="1.5", value="1.5", type="number", description="one more"))
    needed = parameters_of(Source("t.py", "def build(net, a, b: float, c=1): 1 / 0\n", "python"))
    assert [(p.name, p.default, p.type) for p in needed] == [("a", None, "string"), ("b", None, "number"), ("c", "1", "integer")]


BUILD = "def build(net, n: int = 1):\n"
BAD = {
    "syntax": ("def build(net)\n    pass\n", {}, 1, "malformed Python"),
    "no build": ("x = 1\n", {}, None, "the file defines no function build(net, …)"),
    "build without net": ("def build():\n    pass\n", {}, 1, "build takes no topology"),
    "star": ("def build(net, *more):\n    pass\n", {}, 1, "*args and **kwargs are not"),
    "default": ("def build(net, n=[1]):\n    pass\n", {}, 1, "the default of parameter 'n' is list: expected a text or a number"),
    "at import": ("\nraise RuntimeError('no')\n", {}, 2, "RuntimeError: no"),
    "in build": (BUILD + "    x = {}\n    x['k']\n", {}, 3, "KeyError: 'k'"),
    "in a function of the file": ("def f():\n    1 / 0\n\n\ndef build(net):\n    f()\n", {}, 2, "ZeroDivisionError"),
    "deep": (BUILD + "    def f():\n        f()\n    f()\n", {}, 3, "RecursionError"),
    "exit": (BUILD + "    raise SystemExit(3)\n", {}, 2, "SystemExit: 3"),
    "setting": (BUILD + "    net.node('a')\n    net.node('b', cpu=1)\n", {}, 3, "unknown key 'cpu' in a node. Did you mean 'cpus'?"),
    "unknown node": (BUILD + "    net.node('a')\n\n    net.link('a', 'b')\n", {}, 4, "link 'a-b' names unknown node 'b'"),
    "event": (BUILD + "    a = net.node('a')\n    net.at(1, a.tell('up'))\n", {}, 3, "'a' is a node and does not know 'up'"),
    "wrong type": (BUILD + "    pass\n", {"n": "many"}, 1, "the value of parameter 'n': 'many' is not an integer, as in 3"),
    "unknown parameter": (BUILD + "    pass\n", {"m": "1"}, None, "there is no parameter 'm'"),
    "missing": ("def build(net, n):\n    pass\n", {}, None,
                "parameter 'n' has no default and was not given a value. Give one: -S n=VALUE."),
    "missing inside": ("def build(net):\n    net.parameter('N')\n", {}, None, "parameter 'N' has no default"),
    "memory": (BUILD + "    x = ' ' * (3 << 30)\n", {}, None, "the evaluation needs more than 1024 MiB of memory"),
    "gone": (BUILD + "    import os\n    os._exit(3)\n", {}, None, "the evaluation ended without an answer (exit code 3)"),
}


@pytest.mark.parametrize("case", BAD, ids=list(BAD))
def test_bad_input_is_refused_at_its_line(case: str) -> None:
    text, values, line, message = BAD[case]
    with pytest.raises(InvalidInput) as error:
        python(text, **values)
    assert error.value.where == (f"t.py:{line}" if line is not None else "t.py")
    assert message in str(error.value)


def question(text: str) -> dict:
    return {"name": "t.py", "text": BUILD + text, "values": {}, "directory": None}


@pytest.mark.parametrize(("text", "limits", "message"), [
    ("    while True:\n        pass\n", Limits(cpu_s=1), "it used up its 1 s of processor time"),
    ("    import time\n    time.sleep(60)\n", Limits(wall_clock_s=1.5), "the evaluation took longer than 1.5 s"),
    ("    net.describe('x' * 5_000_000)\n", Limits(answer_bytes=1 << 20), "the evaluation makes more than 1 MiB")])
def test_an_evaluation_ends(text: str, limits: Limits, message: str) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidInput) as error:
        ask("languages.python_child", question(text), "t.py", limits)
    assert message in str(error.value)
    assert time.monotonic() - began < 15


def test_nothing_it_started_is_left(tmp_path: Path) -> None:
    """Where processes can be started at all (by root without a readable installation), they end with the evaluation."""
    text = "    import subprocess, sys\n    p = subprocess.Popen(['sleep', '321'])\n    net.describe(str(p.pid))\n"
    try:
        answer = ask("languages.python_child", question(text), "t.py")
    except InvalidInput:
        return
    if "error" in answer:
        assert "Resource temporarily unavailable" in answer["error"]["what"]
        return
    pid = int(answer["spec"]["description"])
    deadline = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_secret_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPBED_STORE_SECRET_KEY", "hush")
    described = python("import os\n\n\ndef build(net):\n    net.describe(' '.join(os.environ))\n").description
    assert "SWAPBED" not in described and set(described.split()) <= {"PATH", "LANG", "PYTHONDONTWRITEBYTECODE", "LC_CTYPE"}


def test_no_file_can_be_filled(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    target = tmp_path / "out"
    with pytest.raises(InvalidInput):
        python(f"def build(net):\n    with open({str(target)!r}, 'w') as f:\n        f.write('x')\n")
    assert not target.exists() or target.stat().st_size == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has root to give up")
def test_root_is_given_up_where_the_installation_can_be_read_without() -> None:
    described = python("import os\n\n\ndef build(net):\n    net.describe(f'{os.getuid()} {os.getgid()} {os.getgroups()}')\n").description
    assert described in ("65534 65534 []", f"0 0 {os.getgroups()}")


def test_a_printing_loop_does_not_fill_memory(capfd: pytest.CaptureFixture) -> None:
    with pytest.raises(InvalidInput):
        ask("languages.python_child", question("    while True:\n        print('x' * 1000)\n"), "t.py", Limits(cpu_s=1))
    assert len(capfd.readouterr().err) <= 64 << 10


def test_a_thousand_nodes() -> None:
    began = time.monotonic()
    spec = python("def build(net, n: int = 1000):\n    net.lan('l', net.nodes('h{}', n), delay='1ms')\n")
    assert len(spec.lans[0].members) == 1000 and time.monotonic() - began < 10


def test_the_child_answers_for_itself_in_process() -> None:
    """The answer's own logic, without the process around it."""
    from languages.python_child import answer_to

    answer = answer_to({"name": "dir/ring.py", "text": STAR, "values": {"clients": "1"}, "directory": "/d"})
    assert answer["spec"]["name"] == "ring" and len(answer["parameters"]) == 4
    assert python_language.Spec.model_validate(answer["spec"]).nodes[1].name == "client-0"
