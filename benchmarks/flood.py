"""Send UDP datagrams at a steady rate from one Python process: `flood.py ADDRESS PORT DATAGRAMS_PER_S SECONDS PAYLOAD_BYTES`.

One system call sends a burst, which the kernel cuts into datagrams (udp(7), UDP_SEGMENT): a sender that is no bottleneck.
Prints how many it sent.
"""

from __future__ import annotations

import socket
import sys
import time

UDP_SEGMENT = 103
BURST = 16


def flood(address: str, port: int, rate: float, seconds: float, payload_bytes: int) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, payload_bytes)
        sender.connect((address, port))
        burst = bytes(payload_bytes * BURST)
        begin = time.monotonic()
        sent = 0
        while (now := time.monotonic() - begin) < seconds:
            while sent < now * rate:
                try:
                    sender.send(burst)
                except ConnectionRefusedError:
                    continue
                sent += BURST
            time.sleep(BURST / rate / 2)
    return sent


if __name__ == "__main__":
    target, to_port, per_second, duration, size = sys.argv[1:]
    print(flood(target, int(to_port), float(per_second), float(duration), int(size)))
