"""Talking to a VM's init: its virtio ports, of which each serves one connection at a time.

The first is the conductor's. Whoever else comes takes a free one, by a lock on a file beside it, and begins with a word of its own, since
what its predecessor left half said may still be on its way in either direction.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from models.errors import Conflict, NotFound, TimedOut
from models.protocol.init import HEADER, encode
from nodeops.identity import ProcessIdentity
from nodeops.vm.machine import PORTS, MachineFiles

RETRY_S = 0.02
PATIENCE_S = 10.0
BEGIN_S = 1.0  # an unanswered word may have been swallowed by what a predecessor had begun to say
PAUSE_S, BEGUN_S = 0.1, 30.0
PATTERN = "port."


def is_vm(root: Path) -> bool:
    """root: a node's directory."""
    return MachineFiles(root).machine.exists()


def is_port(path: Path) -> bool:
    return path.name.startswith(PATTERN)


def driver_port(root: Path, identity: ProcessIdentity, node: str) -> Path:
    """For the conductor alone. Raises Conflict if the machine does not run."""
    _must_live(identity, node)
    return MachineFiles(root).port(0)


@contextlib.contextmanager
def free_port(root: Path, identity: ProcessIdentity, node: str) -> Iterator[Path]:
    """A port that is the caller's within. Raises Conflict if the machine does not run, TimedOut if all ports stay taken."""
    files, deadline = MachineFiles(root), time.monotonic() + PATIENCE_S
    while True:
        _must_live(identity, node)
        for number in range(1, PORTS):
            lock = os.open(files.port(number).with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            try:
                yield files.port(number)
            finally:
                os.close(lock)
            return
        if time.monotonic() > deadline:
            raise TimedOut(f"all {PORTS - 1} ports of the machine are taken", where=node, next="End some of the sessions with it")
        time.sleep(RETRY_S)


def begun(connect: Callable[[], socket.socket], path: Path, timeout_s: float) -> socket.socket:
    """A connection, made by `connect`, on which init has let go of whatever was before on this port. Raises TimedOut, NotFound.

    If there is no answer, the port is left alone for a moment: init notices that then, and forgets what had been half said. It is given
    more time at each attempt, and its answer to an earlier one is as good.
    """
    deadline, patience_s, word = time.monotonic() + max(timeout_s, BEGUN_S), BEGIN_S, str(secrets.randbits(60))
    while True:
        stream = connect()
        try:
            if _answered(stream, path, word, min(deadline, time.monotonic() + patience_s)):
                return stream
        except BaseException:
            stream.close()
            raise
        stream.close()
        if time.monotonic() > deadline:
            raise TimedOut("the node's init does not answer", where=str(path))
        time.sleep(PAUSE_S)
        patience_s *= 2


def _answered(stream: socket.socket, path: Path, word: str, deadline: float) -> bool:
    received = bytearray()
    try:
        stream.settimeout(max(0.001, deadline - time.monotonic()))
        stream.sendall(encode([("op", "begin"), ("request", word)]))
        while not _ends_with_answer(received, word):
            stream.settimeout(max(0.001, deadline - time.monotonic()))
            piece = stream.recv(1 << 16)
            if not piece:
                raise NotFound("the machine closed the connection", where=str(path))
            received += piece
    except TimeoutError:
        return False
    except OSError as error:
        raise NotFound(f"the connection to the node's init broke ({error.strerror})", where=str(path)) from error
    return True


def _ends_with_answer(received: bytes | bytearray, word: str) -> bool:
    """Nothing follows it but another of the same, since nothing else was asked."""
    body = f"answer={word}".encode() + b"\0"
    return bytes(received).endswith(HEADER.pack(len(body)) + body)


def _must_live(identity: ProcessIdentity, node: str) -> None:
    if not identity.alive():
        raise Conflict("the node is dead: its machine has ended", where=node, next="See `swapbed inspect`")
