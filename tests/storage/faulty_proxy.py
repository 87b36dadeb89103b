"""A TCP proxy before an S3 server that fails as told: refuses, answers 503, breaks off in the middle of a body."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable

Fault = Callable[[int, bytes], str]
"""Of the number of the connection and its first bytes: 'pass', '503', 'drop' (at once) or 'break' (after the first 64 KiB)."""
BREAK_AFTER_BYTES = 64 << 10


class FaultyProxy:
    """Listens on a port of loopback as long as the block lasts. seen: connections so far."""

    def __init__(self, target: str, fault: Fault):
        host, _, port = target.removeprefix("http://").partition(":")
        self._target, self.fault, self.seen = (host, int(port)), fault, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> FaultyProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                one.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.seen += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client, self.seen), daemon=True).start()

    def _serve(self, client: socket.socket, number: int) -> None:
        try:
            first = client.recv(65536)
            what = self.fault(number, first)
            if what == "503":
                body = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate</Message></Error>"
                client.sendall(b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            elif what != "drop":
                self._relay(client, first, BREAK_AFTER_BYTES if what == "break" else None)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            client.close()

    def _relay(self, client: socket.socket, first: bytes, limit: int | None) -> None:
        with socket.create_connection(self._target) as server:
            self._open.append(server)
            server.sendall(first)
            back = threading.Thread(target=self._pump, args=(server, client, limit), daemon=True)
            back.start()
            self._pump(client, server, limit)
            back.join()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        """Until either ends, or limit bytes have passed: then both break."""
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                passed += len(data)
                sink.sendall(data)
                if limit is not None and passed > limit:
                    break
            else:
                sink.shutdown(socket.SHUT_WR)
                return
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
