"""Ways of having an experiment stand still for a while: Swapbed's, and what people do today."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from models.protocol.checkpoint import Life
from models.protocol.host import Create
from models.routes import Routing
from models.settings import settings
from models.spec import Spec
from nodeops import cgroups, layer, node_files
from nodeops.checkpoint.capture import capture
from nodeops.checkpoint.restore import Restored, restore
from nodeops.checkpoint.spool import Spool
from nodeops.destroy import destroy
from nodeops.identity import ProcessIdentity
from nodeops.instance import holding
from nodeops.launch import forget_previous_mount, overlay_options
from nodeops.layout import InstanceLayout
from nodeops.linux import CLONE_NEWNET, MS_NODEV, mount, setns
from nodeops.masks import hidden_paths, masks
from nodeops.reach import Inits, open_network, read_inits
from nodeops.whole_file import write_whole
from nodeops.wires.client import WiresClient

FENCE = 1
CRIU_OPTIONS = ("-v2", "-o", "log", "--tcp-established", "--file-locks", "--link-remap", "--manage-cgroups=ignore", "--ghost-limit", "4G",
                "--network-lock", "nftables")
Absence = Callable[[InstanceLayout, Spec, float], Restored | None]


def nothing(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    """The run that the others are compared with."""


def swapped(layout: InstanceLayout, spec: Spec, seconds: float, epoch: int = 0) -> Restored:
    """The checkpoint stays in the spool, of that epoch."""
    spool = spool_of(layout, epoch)
    with holding(layout, FENCE):
        capture(layout, spool, Life(incarnation="benchmark", epoch=epoch), _quiet)
    destroy(layout, FENCE)
    time.sleep(seconds)
    return restore(spool, Create(instance=layout.root.name, name="benchmark", fence=FENCE, spec=spec), _quiet)


def spool_of(layout: InstanceLayout, epoch: int = 0) -> Spool:
    return Spool(layout.root.parent.parent / "spool" / f"c-{epoch}")


def stopped(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    """What people do who have nothing else: every process but the inits."""
    inits = {identity.pid for identity in read_inits(layout).values()}
    procs = [cgroups.node_cgroup(layout.root.name, node.name) / "cgroup.procs" for node in spec.nodes]
    pids = [pid for path in procs for pid in map(int, path.read_text().split()) if pid not in inits]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def one_by_one(layout: InstanceLayout, spec: Spec, seconds: float) -> None:
    """As `docker checkpoint` does it: each container dumped and restored on its own, by CRIU and with its own network lock, while all else
    goes on."""
    inits = read_inits(layout)
    networks = {name: open_network(layout.node(name)) for name in inits}
    images = {name: layout.root / f"images.{name}" for name in inits}
    try:
        for name, identity in list(inits.items()):
            images[name].mkdir()
            _criu(layout, name, images[name], networks[name], "dump", "-t", str(identity.pid),
                  "--external", f"net[{os.fstat(networks[name]).st_ino}]:net")
            inits[name] = _holder(layout, networks[name])
            _plug_again(layout, name, inits)
        time.sleep(seconds)
        files, hidden = node_files.files_of(spec, Routing(spec), spec.nodes), masks(hidden_paths(settings()))
        with layer.mounted(layout, Path("/"), hidden, files, 0) as layers:
            for name in inits:
                root = layers.mount_point.with_name("roots") / name
                root.mkdir(parents=True)
                forget_previous_mount(layout.node(name))
                mount("overlay", root, "overlay", MS_NODEV, overlay_options(layout.node(name), layers.of(name)))
                _criu(layout, name, images[name], networks[name], "restore", "-d", "--root", str(root), "--pidfile", "pid",
                      "--inherit-fd", f"fd[{networks[name]}]:net")
                inits[name] = ProcessIdentity.of(int((images[name] / "pid").read_text()))
        _write_inits(layout, inits)
    finally:
        for network in networks.values():
            os.close(network)


def _criu(layout: InstanceLayout, node: str, images: Path, network: int, *arguments: str) -> None:
    """In the node's cgroup, so that what it restores is in it."""
    with cgroups.joining(cgroups.node_cgroup(layout.root.name, node)) as join:
        done = subprocess.run([settings().criu, *arguments, "-D", images, *CRIU_OPTIONS], stdin=subprocess.DEVNULL, pass_fds=[network],
                              preexec_fn=join)
    if done.returncode:
        raise RuntimeError((images / "log").read_text())


def _holder(layout: InstanceLayout, network: int) -> ProcessIdentity:
    """A process in a node's network that ends with the instance: the wires stay with the node that they know by it."""
    with cgroups.joining(cgroups.daemon_cgroup(layout.root.name, cgroups.HELPERS)) as join:
        def before() -> None:
            join()
            setns(network, CLONE_NEWNET)

        return ProcessIdentity.of(subprocess.Popen(["sleep", "infinity"], stdin=subprocess.DEVNULL, preexec_fn=before).pid)


def _plug_again(layout: InstanceLayout, node: str, holders: Mapping[str, ProcessIdentity]) -> None:
    """Once the wires have let go of the node that has ended."""
    with WiresClient(layout) as wires:
        while not any(f":{node}:" in place for place in wires.hello().detached):
            time.sleep(0.001)
        _write_inits(layout, holders)
        wires.reload()


def _write_inits(layout: InstanceLayout, inits: Mapping[str, ProcessIdentity]) -> None:
    write_whole(layout.inits, Inits(nodes=dict(inits)).model_dump_json().encode())


def _quiet(_text: str, _done: int, _total: int) -> None:
    pass
