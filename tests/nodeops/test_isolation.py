"""A node with base `host` reads neither another node's files nor Swapbed's state, store, database and keys; nor can its root get there."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from models.settings import settings
from nodeops.layout import InstanceLayout
from nodeops.reach import init_identity
from tests.nodeops.instances import Make, lan_spec, run

SECRET = "swordfish-"

# Each must fail in a node, as its root. {…}: see `places`.
READS = (
    "cat {state}/records.db", "cat {state}/store/chunk", "cat {state}/key", "cat {other}/var/mine", "ls {state}/instances",
    "cat /etc/swapbed/config.toml", "cat /tmp/{marker}", "cat /var/tmp/{marker}", "cat /run/{marker}", "cat /root/{marker}",
    "find / -xdev -maxdepth 3 -name '{marker}' 2> /dev/null | grep .", "find /var /etc -xdev -path '*{state_name}/*' | grep .",
    "grep -q '[$]' /etc/shadow",
    "cat /proc/{host_pid}/environ", "ls /proc/{host_pid}/root", "ls /proc/1/root/../{state}/instances",
    "test -e /run/docker.sock", "test -e /var/run/docker.sock", "test -e /dev/vda", "test -e /dev/mem", "test -e /dev/kvm",
    "dd if=/dev/kmsg count=1", "ls /sys/kernel/debug/tracing", "cat /proc/kcore", "cat /sys/kernel/security/lsm",
)
ESCAPES = (
    "umount /proc", "umount /dev/shm", "mount -t tmpfs none /mnt", "mount --bind / /mnt", "mount -o remount,rw /sys",
    "mount -o remount,rw /proc/sys", "mount -t overlay none -o lowerdir=/ /mnt", "mount -t debugfs none /mnt",
    "mount -t cgroup2 none /mnt", "mount -t devtmpfs none /mnt", "mknod /tmp/disk b 254 0", "mknod /tmp/memory c 1 1",
    "unshare --mount true", "unshare --pid --fork true", "nsenter --net=/proc/1/ns/net true",
    "echo 1 > /proc/sys/kernel/core_pattern", "echo b > /proc/sysrq-trigger", "echo 1 > /proc/irq/default_smp_affinity",
    "echo 0 > /sys/class/net/lo/mtu", "date -s 2001-01-01", "kill -0 {host_pid}", "chroot /proc/{host_pid}/root true",
    "python3 -c 'import os; os.setxattr(\"/tmp\", \"trusted.overlay.opaque\", b\"n\")'",
    "unshare --user --map-root-user --mount sh -c 'umount /proc/sys'",
    "unshare --user --map-root-user --mount sh -c 'mount -t overlay o -o lowerdir=/:/proc /mnt && cat /mnt{state}/key'",
    "unshare --user --map-root-user --mount --pid --fork sh -c 'mount -t proc none /proc && echo x > /proc/sys/kernel/core_pattern'",
)
USES = (
    "ping -c 1 127.0.0.1", "ip link add dummy0 type veth peer name dummy1", "sysctl -w net.ipv4.ip_forward=1", "tc qdisc show",
    "su nobody -s /bin/sh -c 'ping -c 1 127.0.0.1'", "chown nobody /tmp && chmod 1777 /tmp", "true > /dev/null",
    "head -c 8 /dev/urandom", "python3 -c 'import os; os.openpty()'", "test $(ulimit -n) -ge 1024", "test -f /etc/resolv.conf",
    "mkfifo /tmp/pipe", "touch /usr/bin/new && rm /usr/bin/env", "echo x > /dev/shm/x", "echo x > /swapbed/archive/x",
)
OPEN_BY_HANDLE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
class Handle(ctypes.Structure):
    _fields_ = [('bytes', ctypes.c_uint), ('type', ctypes.c_int), ('data', ctypes.c_ubyte * 128)]
root = os.open('/', os.O_RDONLY)
for inode in (2, 12):
    handle = Handle(8, 1)
    handle.data[0] = inode
    if libc.open_by_handle_at(root, ctypes.byref(handle), os.O_RDONLY) >= 0 or ctypes.get_errno() != 1:
        raise SystemExit(f'opened, or another error than EPERM: {ctypes.get_errno()}')
raise SystemExit(7)
"""


@pytest.fixture
def state_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where it usually is: not below a directory that is hidden anyway."""
    directory = Path(tempfile.mkdtemp(prefix="swapbed-test-", dir="/var/lib"))
    monkeypatch.setenv("SWAPBED_STATE_DIR", str(directory))
    settings.cache_clear()
    yield directory
    settings.cache_clear()
    shutil.rmtree(directory)


@pytest.fixture
def nodes(make: Make, state_dir: Path) -> InstanceLayout:
    for name in ("records.db", "key", "store/chunk"):
        (state_dir / name).parent.mkdir(exist_ok=True)
        (state_dir / name).write_text(SECRET + name)
    layout = make(lan_spec("a", "b"))
    assert run(layout, "b", "echo mine > /var/mine").code == 0
    return layout


def places(layout: InstanceLayout, marker: str) -> dict[str, str]:
    state = settings().state_dir
    return {"state": str(state), "state_name": state.name, "other": str(layout.node("b").upper), "marker": marker,
            "host_pid": str(os.getpid())}


def test_nothing_of_the_host_that_is_masked_can_be_read(nodes: InstanceLayout) -> None:
    marker = f"swapbed-{os.urandom(6).hex()}"
    planted = [Path(directory) / marker for directory in ("/tmp", "/var/tmp", "/run", "/root")]
    try:
        for path in planted:
            path.write_text(SECRET)
        read = [command for command in READS if run(nodes, "a", command.format(**places(nodes, marker))).code == 0]
    finally:
        for path in planted:
            path.unlink(missing_ok=True)
    assert not read


def test_masks_do_not_come_off(nodes: InstanceLayout) -> None:
    state = settings().state_dir
    assert run(nodes, "a", f"rm -rf {state} /root /etc/swapbed; mkdir -p {state}/store /root /etc/swapbed").code == 0
    assert run(nodes, "a", f"find {state} /root /etc/swapbed -type f").stdout == b""
    assert (state / "key").read_text() == SECRET + "key"


def test_root_of_a_node_gets_no_further(nodes: InstanceLayout) -> None:
    ended = {command: run(nodes, "a", command.format(**places(nodes, "x"))).code for command in ESCAPES}
    assert not [command for command, code in ended.items() if code in (0, 127)]
    assert run(nodes, "a", "cat > /program.py; python3 /program.py", stdin=OPEN_BY_HANDLE.encode()).code == 7


def test_nodes_share_nothing(nodes: InstanceLayout) -> None:
    assert run(nodes, "a", "test -e /var/mine").code == 1
    assert run(nodes, "a", "trap '' HUP; sleep 100 & echo x > /swapbed/datastore/x; ipcmk -Q; touch /dev/shm/x").code == 0
    seen = run(nodes, "b", "ls /swapbed/datastore /dev/shm; ipcs -q | grep -c 0x; ps ax | grep -c '[s]leep 100'; hostname").stdout
    assert seen == b"/dev/shm:\n\n/swapbed/datastore:\n0\n0\nb\n"
    assert not list(nodes.datastore.iterdir())


def test_what_a_researcher_needs_works(nodes: InstanceLayout) -> None:
    failed = {command: ended.stderr for command in USES if (ended := run(nodes, "a", command)).code}
    assert not failed


def test_capabilities_are_those_that_end_at_the_node(nodes: InstanceLayout) -> None:
    lines = Path(f"/proc/{init_identity(nodes.node('a')).pid}/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    assert status["CapEff"] == status["CapPrm"] == status["CapBnd"] == "00000000a004fdfb"
    assert status["CapInh"] == status["CapAmb"] == "0000000000000000"
