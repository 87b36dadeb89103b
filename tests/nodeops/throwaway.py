"""Nodes for tests of init and conductor, without the launcher: a pid and a mount namespace over the host's own root."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from models.errors import NotFound
from models.protocol.init import FromInit, read_hello
from nodeops.identity import ProcessIdentity
from nodeops.init.client import InitClient, program_items

SOURCES = Path(__file__).parents[2] / "nodeops" / "init"
ENTER = """set -e; cd {base}
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
mount -t proc proc root/proc
mount -t tmpfs none root/dev
mkdir root/dev/pts
mount -t devpts -o newinstance,ptmxmode=666 devpts root/dev/pts
ln -s pts/ptmx root/dev/ptmx
mknod -m 666 root/dev/null c 1 3
mknod -m 666 root/dev/tty c 5 0
exec chroot root /swapbed/init init"""


def build_init() -> Path:
    subprocess.run(["make", "-s", "-C", str(SOURCES)], check=True)
    return SOURCES / "swapbed-init"


class ThrowawayNode:
    """One init in namespaces of its own. root: the node's file system as this process sees it, while the node lives."""

    def __init__(self, base: Path):
        self.base = base
        for part in ("upper/swapbed", "upper/dev", "work", "root"):
            (base / part).mkdir(parents=True)
        shutil.copy(build_init(), base / "upper/swapbed/init")
        unshare = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        self._outer = subprocess.Popen([*unshare, "sh", "-c", ENTER.format(base=base)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pid = self._wait_until_up()
        self.root = Path(f"/proc/{self.pid}/root")
        self.socket = self.root / "swapbed/run/init.sock"
        self.identity = ProcessIdentity.of(self.pid)

    def _wait_until_up(self) -> int:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and self._outer.poll() is None:
            with contextlib.suppress(NotFound, ValueError, OSError), InitClient(
                    Path(f"/proc/{(pid := int(children.read_text()))}/root/swapbed/run/init.sock")) as client:
                client.hello()
                return pid
            time.sleep(0.005)
        raise AssertionError("init did not come up")

    def client(self) -> InitClient:
        return InitClient(self.socket)

    def processes(self) -> dict[int, str]:
        """Pid in the node → command line, of all but init."""
        with self.client() as client:
            listing = client.run("cd /proc && for p in [0-9]*; do echo $p $(tr '\\0' ' ' <$p/cmdline); done").stdout.decode()
        found = dict((int(pid), rest) for pid, _, rest in (line.partition(" ") for line in listing.splitlines()))
        return {pid: rest for pid, rest in found.items() if pid != 1 and "swapbed/init" not in rest and "[0-9]*" not in rest and rest}

    def kill(self) -> None:
        self.identity.signal(signal.SIGKILL)
        self._outer.wait(10)

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.base)


class Driver(InitClient):
    """A connection as the conductor's."""

    def __init__(self, node: ThrowawayNode):
        super().__init__(node.socket)
        self.welcome = read_hello(self.ask("attach").items)

    def spawn(self, name: str, command, **options) -> None:
        extra = [(key, options.pop(key)) for key in ("stdout", "stderr", "stdin", "sequence") if key in options]
        self.ask("spawn", [("invocation", name), *program_items(command, **options), *extra])

    def signal(self, name: str, number: int) -> int:
        return int(self.ask("signal", [("invocation", name), ("signal", str(int(number)))]).get("processes"))

    def acknowledge(self, name: str) -> None:
        self.ask("acknowledge", [("invocation", name)])

    def wait(self, name: str, kind: type[FromInit]):
        for event in self.events(10):
            if isinstance(event, kind) and event.invocation == name:
                return event
        raise AssertionError(f"no {kind.__name__} of {name}")


def make_node() -> ThrowawayNode:
    return ThrowawayNode(Path(tempfile.mkdtemp(prefix="swapbed-node-", dir="/var/tmp")))


def wait_until(condition, timeout_s: float = 10):
    """The condition's first true value; fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)
    return value


assert os.geteuid() == 0, "these tests need root"
