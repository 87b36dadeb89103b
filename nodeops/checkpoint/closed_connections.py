"""TCP connections that a program has closed before all that it wrote was acknowledged. Only the kernel has them, and CRIU dumps what
processes hold: in the checkpoint they end, and so does what was still on its way. So a cut waits for them a little.
"""

from __future__ import annotations

import ipaddress
import re
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

PATIENCE_S, PAUSE_S = 1.0, 0.02
SENDING = {"04", "09", "0B"}  # FIN_WAIT1, LAST_ACK, CLOSING, as /proc/net/tcp (proc(5)) has them
FIN = 1  # counts as a byte
SOCKSTAT = Path("/proc/net/sockstat")


def await_acknowledged(inits: Mapping[str, int]) -> dict[str, list[str]]:
    """inits: node → a process in its network. Returns node → those that were not through when patience ended, as
    `tcp 10.1.1.2:40312 → 10.1.1.3:80`."""
    deadline, left = time.monotonic() + PATIENCE_S, dict[str, list[str]]()
    while inits and _any_on_this_host():
        left = {node: names for node, pid in inits.items() if (names := list(_sending(pid)))}
        if not left or time.monotonic() > deadline:
            return left
        inits = {node: inits[node] for node in left}
        time.sleep(PAUSE_S)
    return {}


def _any_on_this_host() -> bool:
    """Looking through a namespace costs the kernel some milliseconds; as a rule there is no need to."""
    found = re.search(r"^TCP: .*\borphan (\d+)", SOCKSTAT.read_text(), re.MULTILINE)
    return found is None or int(found[1]) > 0


def _sending(pid: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        table = Path(f"/proc/{pid}/net/{name}")
        yield from sending(table.read_text() if table.exists() else "")


def sending(table: str) -> Iterator[str]:
    """Of such a file's text; pure."""
    for line in table.splitlines()[1:]:
        _, own, other, state, queues, *rest = line.split()
        if state in SENDING and int(queues.partition(":")[0], 16) > FIN and rest[4] == "0":
            yield f"tcp {_end(own)} → {_end(other)}"


def _end(text: str) -> str:
    """The address is written as words of this machine's byte order."""
    address, _, port = text.partition(":")
    words = (int(address[at:at + 8], 16) for at in range(0, len(address), 8))
    ip = ipaddress.ip_address(b"".join(struct.pack("=I", word) for word in words))
    return f"{ip}:{int(port, 16)}" if ip.version == 4 else f"[{ip}]:{int(port, 16)}"
