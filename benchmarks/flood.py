"""Send UDP datagrams at a steady rate from one process: `flood.py DATAGRAMS_PER_S SECONDS PAYLOAD_BYTES ADDRESS…`, port 9.

A burst goes to each address in turn. One system call sends a burst, which the kernel cuts into datagrams (udp(7), UDP_SEGMENT): a
sender that is no bottleneck. Prints how many it sent.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Sequence
from itertools import cycle

UDP_SEGMENT = 103
BURST = 16
PORT = 9


def flood(rate: float, seconds: float, payload_bytes: int, addresses: Sequence[str]) -> int:
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in addresses]
    for sender, address in zip(senders, addresses, strict=True):
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, payload_bytes)
        sender.connect((address, PORT))
    burst = bytes(payload_bytes * BURST)
    begin = time.monotonic()
    sent = 0
    turn = cycle(senders)
    while (now := time.monotonic() - begin) < seconds:
        while sent < now * rate:
            try:
                next(turn).send(burst)
            except ConnectionRefusedError:
                continue
            sent += BURST
        time.sleep(BURST / rate / 2)
    for sender in senders:
        sender.close()
    return sent


if __name__ == "__main__":
    per_second, duration, size, *targets = sys.argv[1:]
    print(flood(float(per_second), float(duration), int(size), targets))
