"""`python -m nodeops.conductor INSTANCE_DIR`: the conductor of one instance, until told to stop. Ready when its socket answers `hello`."""

from __future__ import annotations

import resource
import signal
import sys
from pathlib import Path

from models.errors import SwapbedError
from models.protocol.conductor import OPERATIONS
from nodeops.conductor.operations import Operations
from nodeops.conductor.petitions import Petitions
from nodeops.conductor.service import Service, sharpen_timers
from nodeops.control import ControlServer
from nodeops.identity import ProcessIdentity
from nodeops.instance import write_whole
from nodeops.layout import InstanceLayout


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        report("usage: python -m nodeops.conductor INSTANCE_DIR")
        return 2
    layout = InstanceLayout(Path(arguments[0]).absolute())
    write_whole(layout.daemon("conductor", "pid"), ProcessIdentity.own().model_dump_json().encode())
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sharpen_timers()
    try:
        service = Service(layout)
        operations = Operations(service)
        service.petition = Petitions(operations).take
        service.begin()
        server = ControlServer(layout.daemon("conductor", "sock"), OPERATIONS, operations.handle)
    except SwapbedError as error:
        report(str(error))
        return error.exit_code
    signal.signal(signal.SIGTERM, lambda *_: setattr(service, "stopping", True))
    service.run(server.filenos, server.ready)
    server.close()
    service.close()
    layout.daemon("conductor", "pid").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
