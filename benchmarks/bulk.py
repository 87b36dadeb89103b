"""TCP streams side by side at a common rate.

`bulk.py receive STREAMS` prints `up`, then bytes and seconds from the first byte to the last; `bulk.py send BITS_PER_S SECONDS ADDRESS…`
sends one stream to each address, all together at that rate (0: as fast as it goes).
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Sequence

PORT = 12
SO_MAX_PACING_RATE = 47
CHUNK = bytes(1 << 18)


def receive(streams: int) -> tuple[int, float]:
    with socket.create_server(("", PORT), backlog=streams) as server:
        print("up", flush=True)
        connections = {connection.fileno(): connection for connection in (server.accept()[0] for _ in range(streams))}
    poll = select.epoll()
    for fd in connections:
        poll.register(fd, select.EPOLLIN)
    buffer = bytearray(1 << 20)
    total, first, last = 0, 0.0, 0.0
    while connections:
        for fd, _ in poll.poll():
            received = connections[fd].recv_into(buffer)
            last = time.monotonic()
            first = first or last
            total += received
            if not received:
                connections.pop(fd).close()
    return total, last - first


def send(rate_bps: float, seconds: float, addresses: Sequence[str]) -> None:
    connections = [socket.create_connection((address, PORT)) for address in addresses]
    poll = select.epoll()
    by_fd = {connection.fileno(): connection for connection in connections}
    for fd, connection in by_fd.items():
        if rate_bps:
            connection.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(rate_bps / 8 / len(addresses)))
        connection.setblocking(False)
        poll.register(fd, select.EPOLLOUT)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for fd, _ in poll.poll(0.1):
            by_fd[fd].send(CHUNK)
    for connection in connections:
        connection.close()


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        print(*receive(int(sys.argv[2])))
    else:
        send(float(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
