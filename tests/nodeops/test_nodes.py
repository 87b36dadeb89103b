"""What a node is to those who work in it: its names, network, limits, files, way outside; and what it takes to make it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.errors import Conflict, Denied, HostProblem, InvalidInput, NotFound
from models.protocol.control import Request
from models.protocol.host import (
    ChangeDaemon,
    ChangeInstance,
    ChangeNodes,
    Create,
    DaemonStatus,
    Instances,
    InstanceStatus,
    OfInstance,
    Outbox,
    OutboxLines,
    ProgramEnded,
    Reap,
    Relay,
    Relayed,
    RunProgram,
)
from models.settings import settings
from models.spec import Lan, Member, Node, Spec, Tarball, Volume
from nodeops import cgroups
from nodeops.identity import boot_id
from nodeops.instance import layout_of
from nodeops.journal import Cgroup, Journal
from nodeops.reach import read_inits
from nodeops.session import Here, HostSession
from tests.nodeops.instances import Make, assert_nothing_left, lan_spec, run


def member(node: str, interface: str, lan: int, host: int) -> Member:
    return Member(node=node, interface=interface, mac=f"02:00:00:00:{lan:02x}:{host:02x}",
                  addresses=(f"10.1.{lan}.{host}/24", f"fd00:{lan:x}::{host:x}/64"))


def test_names_addresses_routes_and_neighbours(make: Make) -> None:
    spec = Spec(nodes=(Node(name="left"), Node(name="router"), Node(name="right")),
                lans=(Lan(name="one", members=(member("left", "eth1", 1, 2), member("router", "eth1", 1, 3))),
                      Lan(name="two", members=(member("router", "eth2", 2, 2), member("right", "eth1", 2, 3)))))
    layout = make(spec, daemons=("wires",))
    assert run(layout, "left", "hostname; cat /etc/hostname").stdout == b"left\nleft\n"
    for name in ("right", "right-two", "10.1.2.3", "fd00:2::3"):
        assert run(layout, "left", f"ping -q -c 1 -W 2 {name}").code == 0, name
    assert run(layout, "left", "ip neigh show nud permanent | grep -v 10.1.2").stdout.count(b"PERMANENT") == 2
    assert run(layout, "left", "ip -o addr show dev eth1").stdout.count(b"tentative") == 0
    assert run(layout, "left", "sysctl -n net.ipv4.ip_forward; ip route get 192.0.2.1").stdout == b"0\n"


def test_limits_hold(make: Make) -> None:
    nodes = {"small": Node(name="small", cpus=0.25, memory_bytes=64 << 20)}
    layout = make(lan_spec("small", "free", nodes=nodes))
    greedy = "import os; data = bytearray(200 << 20); print(len(data))"
    assert run(layout, "small", f"python3 -S -c '{greedy}'").code == 128 + 9
    assert run(layout, "free", f"python3 -S -c '{greedy}'").code == 0
    spin = "python3 -S -c 'import time; end = time.monotonic() + .6; \nwhile time.monotonic() < end: pass\nprint(time.process_time())'"
    assert float(run(layout, "small", spin).stdout) < 0.3


@pytest.fixture
def image(tmp_path: Path) -> Iterator[str]:
    """A root file system without anything of Debian: busybox alone."""
    root = Path("/var/tmp") / f"swapbed-image-{os.getpid()}"
    (root / "bin").mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    for name in ("sh", "ls", "cat", "ip", "hostname", "ping"):
        (root / "bin" / name).symlink_to("busybox")
    yield str(root)
    shutil.rmtree(root)


def test_an_image_needs_nothing_of_ours(make: Make, image: str) -> None:
    nodes = {"plain": Node(name="plain", image="small"), "full": Node(name="full")}
    layout = make(lan_spec("plain", "full", nodes=nodes), daemons=("wires",), images={"small": image})
    assert run(layout, "plain", "hostname; ls /").stdout.split() == b"plain bin dev etc proc run swapbed sys tmp var".split()
    assert run(layout, "plain", "ping -c 1 -W 2 full").code == 0
    assert not (Path(image) / "dev").exists()


@pytest.mark.parametrize("elsewhere", [False, True], ids=["inside the base", "on another file system"])
def test_the_datastore_is_each_nodes_own_copy(make: Make, tmp_path: Path, state_dir: Path, elsewhere: bool) -> None:
    (tmp_path / "data" / "sub").mkdir(parents=True)
    (tmp_path / "data" / "sub" / "file").write_text("as given")
    if elsewhere:
        subprocess.run(["mount", "-t", "tmpfs", "none", state_dir], check=True)
    try:
        layout = make(lan_spec("a", "b"), datastore=str(tmp_path / "data"))
        assert run(layout, "a", "cat /swapbed/datastore/sub/file; echo changed > /swapbed/datastore/sub/file").stdout == b"as given"
        assert run(layout, "a", "cat /swapbed/datastore/sub/file").stdout == b"changed\n"
        assert run(layout, "b", "cat /swapbed/datastore/sub/file").stdout == b"as given"
        assert (layout.datastore / "sub" / "file").read_text() == "as given"
        assert run(layout, "a", "echo log > /swapbed/logs/x; echo result > /swapbed/archive/y").code == 0
        assert (layout.node("a").logs / "x").read_text() == "log\n"
        assert (layout.node("a").archive / "y").read_text() == "result\n"
        with HostSession(Here()) as session:
            session.call("destroy", ChangeInstance(instance=layout.root.name, fence=1))
    finally:
        if elsewhere:
            subprocess.run(["umount", state_dir], check=True)


def test_volumes_and_tarballs_are_there_before_anything_runs(make: Make, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "www" / "sub").mkdir(parents=True)
    (data / "www" / "sub" / "page").write_text("hello")
    (data / "conf").write_text("x=1")
    with tarfile.open(data / "tools.tar.gz", "w:gz") as tar:
        tar.add(data / "www", "./tree")
        for name, kind, link in (("tree/link", tarfile.SYMTYPE, "/etc/passwd"), ("tree/same", tarfile.LNKTYPE, "./tree/sub/page")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.mtime = kind, link, 1_000_000
            tar.addfile(member)
    node = Node(name="a", volumes=(Volume(source="www", target="/srv"), Volume(source="conf", target="/etc/app/conf", read_only=True)),
                tarballs=(Tarball(directory="/opt/new", path="tools.tar.gz"),))
    layout = make(lan_spec("a", "b", nodes={"a": node}), datastore=str(data))
    assert run(layout, "a", "cat /srv/sub/page /etc/app/conf /opt/new/tree/same").stdout == b"hellox=1hello"
    assert run(layout, "a", "cd /opt/new/tree; readlink link; stat -c '%a %Y' /etc/app/conf same | sed 's/444 .*/444/'").stdout == (
        b"/etc/passwd\n444\n644 1000000\n")
    assert run(layout, "b", "test -e /srv/sub").code == 1


@pytest.mark.parametrize(("node", "kind", "match"), [
    (Node(name="a", volumes=(Volume(source="link", target="/srv"),)), InvalidInput, "leads out"),
    (Node(name="a", volumes=(Volume(source="none", target="/srv"),)), NotFound, "no 'none' in the datastore"),
    (Node(name="a", tarballs=(Tarball(directory="/opt", path="good"),)), InvalidInput, "no tar archive"),
    (Node(name="a", tarballs=(Tarball(directory="/opt", path="/etc/shadow"),)), Denied, "not for nodes"),
    (Node(name="a", tarballs=(Tarball(directory="/opt", path="/nonexistent.tar"),)), NotFound, "no such archive"),
])
def test_furniture_that_is_not_to_be_had(session: HostSession, tmp_path: Path, node: Node, kind: type[Exception], match: str) -> None:
    (tmp_path / "good").write_text("text")
    (tmp_path / "link").symlink_to("/etc/passwd")
    refused(session, lan_spec("a", "b", nodes={"a": node}), kind, match, datastore=str(tmp_path))


def test_a_way_outside_and_none(make: Make) -> None:
    layout = make(lan_spec("out", "in", nodes={"out": Node(name="out", outside=True)}))
    here = next(info[4][0] for info in _own_addresses())
    with socket.create_server((str(here), 0)) as server:
        answering = threading.Thread(target=lambda: server.accept()[0].sendall(b"hello"))
        answering.start()
        fetch = f"python3 -S -c 'import socket; print(socket.create_connection((\"{here}\", {server.getsockname()[1]}), 5).recv(9))'"
        assert run(layout, "in", fetch).code == 1
        assert run(layout, "out", fetch).stdout == b"b'hello'\n"
        answering.join()
    with socket.create_server(("127.0.0.1", 0)) as server:
        for address in ("127.0.0.1", "100.64.0.1"):
            assert run(layout, "out", fetch.replace(str(here), address).replace("5)", "1)")).code == 1
    assert b"nameserver 100.64.0.3" in run(layout, "out", "cat /etc/resolv.conf").stdout


def _own_addresses() -> list[tuple]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.77", 9))
        return socket.getaddrinfo(probe.getsockname()[0], None, socket.AF_INET)


def test_session_runs_relays_and_tells(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires",))
    name = layout.root.name
    ended = session.do("run", RunProgram(instance=name, node="a", command="cat; exit 3", stdin=b"\0\xff"), ProgramEnded)
    assert (ended.code, ended.stdout) == (3, b"\0\xff")
    assert session.do("relay", Relay(instance=name, daemon="wires", operation="hello"), Relayed).result["members"] == 2
    with pytest.raises(InvalidInput, match="unknown operation"):
        session.call("relay", Relay(instance=name, daemon="wires", operation="dance"))
    layout.outbox.write_text('{"number": 0}\n{"number": 1}\n{"number": 2')
    assert session.do("outbox", Outbox(instance=name, since=1), OutboxLines) == OutboxLines(lines=({"number": 1},), next=2)
    status = session.do("inspect", OfInstance(instance=name), InstanceStatus)
    assert status.whole
    assert {node.node: node.processes for node in status.nodes} == {"a": 1, "b": 1}
    assert [each.instance for each in session.do("instances", None, Instances).instances] == [name]
    for operation in ("run", "inspect", "relay", "outbox"):
        fields = {"instance": "i-nowhere", "node": "a", "command": "true", "daemon": "wires", "operation": "hello"}
        kind = {"run": RunProgram, "inspect": OfInstance, "relay": Relay, "outbox": Outbox}[operation]
        with pytest.raises(NotFound):
            session.call(operation, kind.model_validate({key: fields[key] for key in fields if key in kind.model_fields}))


def test_restarted_nodes_keep_their_files_and_their_place(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b", "c"), daemons=("wires",))
    run(layout, "a", "echo kept > /etc/kept; sleep 1000 & trap '' HUP")
    before = read_inits(layout)
    status = session.do("restart_nodes", ChangeNodes(instance=layout.root.name, nodes=("a",)), InstanceStatus)
    assert status.whole
    after = read_inits(layout)
    assert (after["a"] != before["a"], after["b"] == before["b"]) == (True, True)
    assert run(layout, "a", "cat /etc/kept; ps ax | grep -c '[s]leep 1000'").stdout == b"kept\n0\n"
    assert run(layout, "a", "ping -q -c 1 -W 2 b").code == 0
    assert run(layout, "c", "ping -q -c 1 -W 2 a").code == 0
    with pytest.raises(NotFound, match="no node 'z'"):
        session.call("restart_nodes", ChangeNodes(instance=layout.root.name, nodes=("z",)))


def test_nodes_come_back_after_a_reboot_of_the_host(make: Make, session: HostSession) -> None:
    """Nothing of the kernel is left then; simulated by ending everything and giving the journal another boot's name."""
    layout = make(lan_spec("a", "b"), daemons=("wires",))
    run(layout, "a", "echo kept > /etc/kept")
    standing = [each for each in Journal(layout.journal).standing() if isinstance(each, Cgroup)]
    cgroups.kill(standing[0])
    cgroups.remove(standing)
    layout.journal.write_text(layout.journal.read_text().replace(boot_id(), "another"))
    name = layout.root.name
    assert session.do("restart_nodes", ChangeNodes(instance=name, nodes=("a", "b")), InstanceStatus).nodes[0].alive
    assert session.do("start_daemon", ChangeDaemon(instance=name, daemon="wires"), DaemonStatus).alive
    assert run(layout, "a", "cat /etc/kept; ping -q -c 1 -W 2 b").stdout.startswith(b"kept\n")


def test_daemons_are_started_stopped_and_restarted(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b"), daemons=("wires",))
    wires = ChangeDaemon(instance=layout.root.name, daemon="wires", fence=1)
    first = session.do("start_daemon", wires, DaemonStatus)
    assert first.alive
    second = session.do("restart_daemon", wires, DaemonStatus)
    assert second.alive
    assert second.pid != first.pid
    assert run(layout, "a", "ping -q -c 1 -W 2 b").code == 0
    assert not session.do("stop_daemon", wires, DaemonStatus).alive
    with pytest.raises(NotFound, match="does not run"):
        session.call("relay", Relay(instance=layout.root.name, daemon="wires", operation="hello"))


def test_an_older_lease_is_refused(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b"), fence=7)
    name = layout.root.name
    for operation, arguments in (("destroy", ChangeInstance(instance=name, fence=6)),
                                 ("restart_nodes", ChangeNodes(instance=name, fence=6, nodes=("a",))),
                                 ("start_daemon", ChangeDaemon(instance=name, fence=6, daemon="wires"))):
        with pytest.raises(Conflict, match="newer lease"):
            session.call(operation, arguments)
    assert session.do("inspect", OfInstance(instance=name), InstanceStatus).whole


def test_create_is_idempotent_and_never_replaces(make: Make, session: HostSession) -> None:
    layout = make(lan_spec("a", "b"))
    inits = read_inits(layout)
    again = Create(instance=layout.root.name, name="test", spec=lan_spec("a", "b"), daemons=())
    assert session.do("create", again, InstanceStatus).whole
    assert read_inits(layout) == inits
    with pytest.raises(Conflict, match="another spec"):
        session.call("create", again.model_copy(update={"spec": lan_spec("a", "c")}))


def refused(session: HostSession, spec: Spec, kind: type[Exception], match: str, **fields: object) -> None:
    """And nothing is left of the attempt."""
    wanted = Create.model_validate({"instance": "i-refused", "name": "x", "spec": spec, "daemons": (), **fields})
    with pytest.raises(kind, match=match):
        session.call("create", wanted)
    assert not (settings().instances_dir / "i-refused").exists()


def test_what_cannot_be_made_is_refused_and_leaves_nothing(session: HostSession, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(session, lan_spec("a", nodes={"a": Node(name="a", image="unheard-of")}), NotFound, "no image 'unheard-of'")
    refused(session, lan_spec("a", "b"), InvalidInput, "no node 'z'", nodes=("z",))
    refused(session, lan_spec("a", "b"), NotFound, "datastore", datastore="/nonexistent")
    for environment, match in (({"PATH": "/nonexistent"}, "pasta"), ({"SWAPBED_FREE_SPACE_BYTES": str(1 << 60)}, "MiB of disk are free")):
        with HostSession(Here(environment)) as other:
            refused(other, lan_spec("a", nodes={"a": Node(name="a", outside=True)}), HostProblem, match)


def test_not_root_is_said(state_dir: Path) -> None:
    program = "import os; os.setuid(65534); from nodeops.__main__ import main; main([])"
    wanted = Create(instance="i-root", name="x", spec=lan_spec("a", "b")).model_dump(mode="json")
    request = Request(id=1, operation="create", arguments=wanted).model_dump_json().encode() + b"\n"
    done = subprocess.run([sys.executable, "-c", program], input=request, capture_output=True, check=True)
    assert b"can only be made by root" in done.stdout


@pytest.mark.parametrize(("kind", "match"), [("ramfs", "cannot hold"), ("full", "cannot be written|disk are free|No space")])
def test_a_state_directory_that_will_not_do(session: HostSession, state_dir: Path, kind: str, match: str) -> None:
    options = ["-t", "tmpfs", "-o", "size=64k"] if kind == "full" else ["-t", "ramfs"]
    subprocess.run(["mount", *options, "none", state_dir], check=True)
    try:
        with HostSession(Here({"SWAPBED_FREE_SPACE_BYTES": "0"})) as other:
            refused(other, lan_spec(*(f"n{index}" for index in range(40))), HostProblem, match)
    finally:
        subprocess.run(["umount", state_dir], check=True)


def test_a_full_disk_does_not_hinder_destroying(session: HostSession, state_dir: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", state_dir], check=True)
    try:
        with HostSession(Here({"SWAPBED_FREE_SPACE_BYTES": "0"})) as other:
            wanted = Create(instance="i-full", name="x", spec=lan_spec("a", "b"), daemons=())
            assert other.do("create", wanted, InstanceStatus).whole
            with contextlib.suppress(OSError):
                (state_dir / "fill").write_bytes(bytes(2 << 20))
            other.call("destroy", ChangeInstance(instance="i-full", fence=5))
        assert_nothing_left(layout_of("i-full"))
    finally:
        subprocess.run(["umount", state_dir], check=True)


def test_a_cgroup_of_somebody_else_is_left_alone(session: HostSession, state_dir: Path) -> None:
    foreign = cgroups.instance_cgroup("i-foreign")
    foreign.mkdir(parents=True)
    try:
        wanted = Create(instance="i-foreign", name="x", spec=lan_spec("a", "b"), daemons=())
        with pytest.raises(Conflict, match="somebody else"):
            session.call("create", wanted)
        assert foreign.is_dir()
        assert not layout_of("i-foreign").root.exists()
    finally:
        foreign.rmdir()


@pytest.mark.parametrize("instance", ["", ".", "..", "../x", "a/b", "A", "a" * 60])
def test_an_id_leads_nowhere_else(session: HostSession, state_dir: Path, instance: str) -> None:
    (state_dir / "precious").write_text("x")
    change, reap = ChangeInstance.model_construct(instance=instance), Reap.model_construct(instances=(instance,))
    for operation, arguments in (("destroy", change), ("reap", reap), ("inspect", change)):
        with pytest.raises(InvalidInput):
            session.call(operation, arguments)
    assert (state_dir / "precious").exists()


def test_the_agent_answers_nonsense_and_goes_on(session: HostSession) -> None:
    for operation, arguments in (("create", Node(name="x")), ("inspect", Outbox(instance="x"))):
        with pytest.raises((InvalidInput, NotFound)):
            session.call(operation, arguments)
    assert session.do("instances", None, Instances).instances == ()
