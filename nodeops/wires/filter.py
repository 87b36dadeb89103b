"""Capture filters in tcpdump's language, run by the kernel.

tcpdump compiles the expression to classic BPF; a unix datagram socket with that program attached (socket(7), SO_ATTACH_FILTER)
hands back exactly the frames that match. So no interpreter of ours, and the kernel's verifier in front of it.
"""

from __future__ import annotations

import ctypes
import socket
import struct
import subprocess

from models.errors import HostProblem, InvalidInput

SO_ATTACH_FILTER = 26
Program = tuple[tuple[int, int, int, int], ...]  # struct sock_filter: code, jt, jf, k
FRAME_LIMIT_BYTES = 1 << 18


class KernelFilter:
    def __init__(self, program: Program):
        self._in, self._out = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        attach_filter(self._out, program)

    def keeps(self, ethernet: bytes) -> bytes | None:
        """The frame if it matches, else None."""
        self._in.send(ethernet)
        try:
            return self._out.recv(FRAME_LIMIT_BYTES)
        except BlockingIOError:
            return None

    def close(self) -> None:
        self._in.close()
        self._out.close()


def attach_filter(to: socket.socket, program: Program) -> None:
    """From now on that socket receives only what matches."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *instruction) for instruction in program))
    to.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", len(program), ctypes.addressof(code)))


def compile_filter(expression: str) -> Program:
    """By the wires' client, since forking tcpdump would hold up the frames. Raises InvalidInput if tcpdump does not understand it."""
    command = ["tcpdump", "-y", "EN10MB", "-ddd", "--", expression]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except FileNotFoundError as error:
        raise HostProblem("capture filters need tcpdump, which is not installed", next="Install the package tcpdump") from error
    if done.returncode:
        raise InvalidInput(f"tcpdump does not understand the filter: {done.stderr.strip().splitlines()[-1]}", where=expression)
    instructions = (line.split() for line in done.stdout.splitlines()[1:])
    return tuple((int(code), int(jt), int(jf), int(k)) for code, jt, jf, k in instructions)
