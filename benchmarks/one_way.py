"""One-way delays of datagrams between two processes on one machine, whose clocks are one.

`one_way.py receive COUNT` prints `up`, then the delays in nanoseconds, from before the sender's system call to the kernel's
receiving (socket(7), SO_TIMESTAMPNS); `one_way.py send ADDRESS COUNT INTERVAL_S` sends.
"""

from __future__ import annotations

import socket
import struct
import sys
import time

PORT = 11
SO_TIMESTAMPNS = 35
PATIENCE_S = 3.0
TIMESPEC = struct.Struct("@ll")


def receive(count: int) -> list[int]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        receiver.bind(("", PORT))
        receiver.settimeout(30)
        print("up", flush=True)
        delays = []
        try:
            for _ in range(count):
                data, ancillary, _, _ = receiver.recvmsg(64, 256)
                receiver.settimeout(PATIENCE_S)
                seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
                delays.append(seconds * 10**9 + nanoseconds - int(data))
        except TimeoutError:
            pass  # some were lost: a delay is told of each that came
    return delays


def send(address: str, count: int, interval_s: float) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, PORT))
        for _ in range(count):
            sender.send(str(time.time_ns()).encode())
            time.sleep(interval_s)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        print(*receive(int(sys.argv[2])))
    else:
        send(sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
