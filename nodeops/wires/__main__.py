"""`python -m nodeops.wires INSTANCE_DIR`: the wires of one instance, until told to stop. Ready when its socket answers `hello`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from models.errors import SwapbedError
from models.protocol.wires import OPERATIONS
from nodeops.control import ControlServer
from nodeops.identity import ProcessIdentity
from nodeops.layout import InstanceLayout
from nodeops.whole_file import write_whole
from nodeops.wires.operations import Operations
from nodeops.wires.service import Service


def report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        report("usage: python -m nodeops.wires INSTANCE_DIR")
        return 2
    layout = InstanceLayout(Path(arguments[0]).absolute())
    write_whole(layout.daemon("wires", "pid"), ProcessIdentity.own().model_dump_json().encode())
    try:
        service = Service(layout, report)
        operations = Operations(service)
        server = ControlServer(layout.daemon("wires", "sock"), OPERATIONS, operations.handle)
    except SwapbedError as error:
        report(str(error))
        return error.exit_code
    signal.signal(signal.SIGTERM, lambda *_: setattr(service, "stopping", True))
    service.run(server, operations.flush)
    operations.close()
    server.close()
    service.close()
    layout.daemon("wires", "pid").unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
