"""How a host reaches the store: one gate of this process, forwarded to hosts beyond SSH, and a token per transfer.

    with gate() as door:
        access = door.to_store(host, project="default", instance=instance_id)     # handed to the host's agent, which uses
        …                                                                          # storage.transfer.HostTransfer.of(access)
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from models.database import engine
from models.errors import HostLost
from models.manifest import ManifestRef
from models.protocol.transfer import Operations, StoreAccess
from models.settings import settings
from nodeops.session import SSH
from storage import tokens
from storage.catalog import Catalog
from storage.gate import Gate
from storage.object_url import open_objects
from tasks.sessions import HostReference

ALLOCATED = re.compile(r"Allocated port (\d+) for remote forward")
STOP_S = 5
FORWARDING = ("-o", "ExitOnForwardFailure=yes", "-o", "LogLevel=INFO")  # quieter, as a user may have it, ssh keeps the port to itself


class Door:
    """A running gate, and the ways to it. Safe for threads."""

    def __init__(self, running: Gate, key: bytes):
        self._gate, self._key = running, key
        self._forwards: dict[str, tuple[subprocess.Popen[str], str]] = {}
        self._lock = threading.Lock()

    def to_store(self, host: HostReference, project: str, instance: str) -> StoreAccess:
        """What lets that host store for that instance."""
        return self._access(host, project, instance, "store", ())

    def to_fetch(self, host: HostReference, project: str, instance: str, manifests: Sequence[ManifestRef]) -> StoreAccess:
        """What lets that host fetch these manifests and what they reach, for that instance."""
        return self._access(host, project, instance, "fetch", manifests)

    def _access(self, host: HostReference, project: str, instance: str, operation: Operations,
                manifests: Sequence[ManifestRef]) -> StoreAccess:
        token = tokens.issue(Catalog(engine(), project), self._key, instance, operation, manifests)
        return StoreAccess(gate=self._gate.url if host.address is None else self._forwarded(host.address), token=token)

    def _forwarded(self, address: str) -> str:
        """The gate's URL as seen on that host: a port of its loopback, chosen there, that leads here."""
        with self._lock:
            if address not in self._forwards or self._forwards[address][0].poll() is not None:
                port = self._gate.url.rpartition(":")[2]
                command = [*SSH, "-N", *FORWARDING, "-R", f"127.0.0.1:0:127.0.0.1:{port}", address]
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                self._forwards[address] = process, f"http://127.0.0.1:{_allocated(process, address)}"
            return self._forwards[address][1]

    def close(self) -> None:
        for process, _ in self._forwards.values():
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_S)


def _allocated(process: subprocess.Popen[str], address: str) -> str:
    """The port that ssh says it was given; its other complaints are kept for the error."""
    said = []
    assert process.stderr
    for line in process.stderr:
        if found := ALLOCATED.search(line):
            threading.Thread(target=process.stderr.read, name=f"ssh {address}", daemon=True).start()  # or it would block on a full pipe
            return found[1]
        said.append(line.strip())
    raise HostLost(f"ssh does not forward the store's gate ({'; '.join(said[-3:]) or 'it said nothing'})", where=address)


@contextmanager
def gate() -> Iterator[Door]:
    """A gate before the store of the settings, as long as the block."""
    key = tokens.token_key(settings().state_dir)
    with Gate(engine(), open_objects(settings()), key) as running:
        door = Door(running, key)
        try:
            yield door
        finally:
            door.close()
