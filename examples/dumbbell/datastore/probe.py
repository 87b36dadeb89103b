"""The round trip to another node, twenty times a second: what it exceeds its minimum by is time spent in the bottleneck's queue.

`probe.py echo` sends back whatever comes; `probe.py HOST` asks there for $DURATION seconds, and writes seconds since its start and
milliseconds of each round trip to the archive. It reads the monotonic clock, which stands still while the experiment does: `ping` takes
the wall's, and would show the absence of a swapped-out experiment as a round trip.
"""

import os
import select
import socket
import struct
import sys
import time
from pathlib import Path

PORT, INTERVAL_S = 7, 0.05


def echo() -> None:
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    here.bind(("", PORT))
    while True:
        here.sendto(*here.recvfrom(64))


def probe(host: str, duration_s: float) -> None:
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    begin = time.monotonic()
    turn = 0
    with (Path(os.environ["ARCHIVE"]) / "rtt.txt").open("w", buffering=1) as trips:
        while (now := time.monotonic() - begin) < duration_s:
            if now >= INTERVAL_S * turn:
                here.sendto(struct.pack("d", now), (host, PORT))
                turn += 1
            if select.select([here], [], [], max(0, INTERVAL_S * turn - now))[0]:
                (sent,) = struct.unpack("d", here.recv(64))
                print(f"{sent:.3f} {1000 * (time.monotonic() - begin - sent):.3f}", file=trips)


echo() if sys.argv[1] == "echo" else probe(sys.argv[1], float(os.environ["DURATION"]))
