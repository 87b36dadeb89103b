"""A node's init at the other end of standard input and output: so that whoever is on another machine talks to it as if it were here."""

from __future__ import annotations

import os
import selectors
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from nodeops.init.client import InitClient, connect
from nodeops.layout import NodeLayout
from nodeops.reach import init_socket

PIECE_BYTES = 1 << 18
END_S = 5


def carry(node: NodeLayout) -> None:
    """Bytes between this process's stdio and the node's init, until either side ends."""
    with init_socket(node) as path, connect(path) as stream, selectors.DefaultSelector() as selector:
        selector.register(0, selectors.EVENT_READ, 1)
        selector.register(stream, selectors.EVENT_READ, 0)
        while True:
            for key, _ in selector.select():
                data = os.read(key.fd, PIECE_BYTES)
                if not data:
                    return
                if key.data:
                    stream.sendall(data)
                else:
                    _write_all(data)


@contextmanager
def bridged(command: Sequence[str], environment: dict[str, str], name: str) -> Iterator[InitClient]:
    """A client whose stream is the stdio of that command, which is `carry` somewhere. name: the node's, for errors."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=theirs.fileno(), env=environment, start_new_session=True)
    theirs.close()
    try:
        with InitClient(Path(name), stream=ours) as client:
            yield client
    finally:
        ours.close()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write_all(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]
