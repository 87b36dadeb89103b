"""The local Prefect server: started on demand, once, on a free port of the loopback, with the controller beside it, and the S3 store,
if this installation has one of its own (`swapbed.serving.store_server`).

`ensure()` is what every command calls; it costs two small files when the server runs. `PREFECT_API_URL`, or `prefect_api_url` in
the settings, names another server instead; the controller is ours in either case.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import urllib.error
import urllib.request
from pathlib import Path

from pydantic import ValidationError

from models.protocol.control import Message
from models.settings import settings
from nodeops.identity import ProcessIdentity
from swapbed.serving import store_server
from swapbed.serving.daemon import Daemon

LOOPBACK = "127.0.0.1"
FLOORS = ("models", "languages", "storage", "nodeops", "tasks", "flows", "swapbed")
# Figures of the task run recorder: with SQLite's defaults, back-to-back flows meet 503s and stall for seconds.
# The interval is cut to whole seconds there: anything below 1 becomes a loop that never sleeps (a quarter of a core, for ever).
SERVER_ENVIRONMENT = {
    "PREFECT__SERVER_FINAL": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "50",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "1",  # expunging waits for it
    "PREFECT_LOGGING_SERVER_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
}
CLIENT_ENVIRONMENT = {
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "ERROR",
    "DO_NOT_TRACK": "1",
}


class Address(Message):
    """Where the local server listens. ready: it has answered once since it was started."""

    port: int
    ready: bool

    @property
    def ui(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def api(self) -> str:
        return f"{self.ui}/api"


class Status(Message):
    """What `swapbed status` shows. api: of whichever server is used; the processes: None where not running or not ours. store_url: in
    words, where what is stored goes."""

    api: str | None
    external: bool
    server: ProcessIdentity | None
    controller: ProcessIdentity | None
    store: ProcessIdentity | None = None
    store_url: str = ""

    @property
    def ui(self) -> str | None:
        return self.api.removesuffix("/api") if self.api else None


def controller_socket() -> Path:
    return settings().state_dir / "controller" / "controller.sock"


def home() -> Path:
    return settings().state_dir / "prefect"


def external_api() -> str | None:
    """The server that was asked for instead of the local one, which its own URL names, too: whoever uses Prefect here has that set."""
    named = os.environ.get("PREFECT_API_URL") or settings().prefect_api_url
    return None if named == local_api() else named


def local_api() -> str | None:
    """Of the server whose database is in this state directory, if it was ever started."""
    address = _address()
    return address.api if address else None


def ensure() -> str:
    """The API's URL of a running server, with a controller running; starts what is missing."""
    store_server.ensure()
    api = external_api() or ensure_server()
    ensure_controller(api)
    return api


def client_environment(api: str) -> dict[str, str]:
    """What a process needs in its environment before it imports prefect."""
    ours = {"PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false"} if external_api() is None else {}  # saves a request per connection
    return {**CLIENT_ENVIRONMENT, **ours, "PREFECT_API_URL": api, "PREFECT_HOME": str(home())}


def status() -> Status:
    address = _address()
    server = _server().identity()
    api = external_api() or (address.api if address and server else None)
    chosen = settings()
    place = f"{chosen.effective_store_url} at {chosen.store_endpoint}" if chosen.store_endpoint else chosen.effective_store_url
    return Status(api=api, external=external_api() is not None, server=server, controller=_controller().identity(),
                  store=store_server.identity(), store_url=place)


def down() -> Status:
    """Stop controller, server and store; instances live on. Returns what was there."""
    before = status()
    for daemon in (_controller(), _server()):
        if daemon.directory.is_dir():
            with daemon.alone():
                daemon.stop()
    store_server.stop()
    return before


def _server() -> Daemon:
    return Daemon(home(), "server")


def _controller() -> Daemon:
    return Daemon(settings().state_dir / "controller", "controller")


def _address() -> Address | None:
    try:
        return Address.model_validate_json((home() / "address.json").read_text())
    except (FileNotFoundError, ValidationError):
        return None


def _write_address(address: Address) -> None:
    new = home() / "address.json.new"
    new.write_text(address.model_dump_json())
    new.replace(home() / "address.json")


def ensure_server() -> str:
    daemon = _server()
    address = _address()
    if address and address.ready and daemon.identity():
        return address.api
    with daemon.alone():
        address = _address()
        if address is None or daemon.identity() is None:
            address = _start_server(daemon, address.port if address else 0)
        api = address.api
        if not address.ready:
            daemon.await_ready(lambda: _answers(api))
            _write_address(Address(port=address.port, ready=True))
    return api


def _start_server(daemon: Daemon, port: int) -> Address:
    """On the port it had before, if that is free. The socket is bound here and inherited, so nobody can take the port in between."""
    with _listen(port) as listening:
        address = Address(port=listening.getsockname()[1], ready=False)
        _write_address(address)
        environment = {**os.environ, **SERVER_ENVIRONMENT, "PREFECT_HOME": str(home()), "PREFECT_API_URL": address.api,
                       "PREFECT_UI_API_URL": address.api}
        command = [sys.executable, "-m", "uvicorn", "--factory", "swapbed.serving.prefect_app:create_app", "--fd", str(listening.fileno()),
                   "--log-level", "warning"]
        daemon.spawn(command, environment, inherit=[listening.fileno()])
    return address


def _listen(port: int) -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Inherited by accepted connections. asyncio, given an fd, does not set it, and each reply would wait 40 ms for an acknowledgement.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listening.bind((LOOPBACK, port))
    except OSError:
        listening.bind((LOOPBACK, 0))
    listening.listen(256)
    return listening


def _answers(api: str) -> bool:
    try:
        with urllib.request.urlopen(f"{api}/health", timeout=1) as reply:
            return reply.status == 200
    except (urllib.error.URLError, OSError):
        return False


def ensure_controller(api: str) -> None:
    """One that was started by other code or with other settings (an upgrade, a changed file) is replaced; its flows go on."""
    daemon, wanted = _controller(), _fingerprint(api)
    if daemon.identity() and _started_as(daemon) == wanted:
        return
    with daemon.alone():
        if daemon.identity() and _started_as(daemon) == wanted:
            return
        daemon.stop()
        controller_socket().unlink(missing_ok=True)
        (daemon.directory / "fingerprint").write_text(wanted)
        daemon.spawn([sys.executable, "-m", "swapbed.controller"], {**os.environ, **client_environment(api)})
        daemon.await_ready(controller_socket().is_socket)


def _fingerprint(api: str) -> str:
    """What a controller must have been started with: these settings, this server, this code (a thousandth of a second to look at)."""
    floors = Path(__file__).resolve().parents[2]
    newest = max(path.stat().st_mtime_ns for floor in FLOORS for path in (floors / floor).rglob("*.py"))
    return hashlib.sha256(f"{settings().model_dump_json()} {api} {sys.prefix} {floors} {newest}".encode()).hexdigest()


def _started_as(daemon: Daemon) -> str | None:
    try:
        return (daemon.directory / "fingerprint").read_text()
    except FileNotFoundError:
        return None
