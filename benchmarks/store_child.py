"""One step in a process of its own, as its peers have it: `python -m benchmarks.store_child STATE init|ingest|restore PATH LEVEL`.

STATE holds catalog and store. Prints what it counted as JSON.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path


def main(state: Path, what: str, path: Path, level: int) -> None:
    from models.database import connect
    from models.manifest import TreePolicy
    from storage.local_objects import LocalObjects
    from storage.roots import RootKind
    from storage.store import Store

    on = connect(f"sqlite:///{state}/catalog.db")
    if what == "init":
        from models.migrations import upgrade

        upgrade(on)
        return
    store = Store(on, LocalObjects(state / "store"), "benchmark", level)
    if what == "ingest":
        stored = store.store_tree(path, TreePolicy(images=("*.ram",)))
        number = len(store.roots())
        store.pin(RootKind.RECORD, str(number), stored.manifest)
        print(stored.counts.model_dump_json())
    else:
        store.restore_tree(store.roots()[-1].manifest, path)


if __name__ == "__main__":
    gc.set_threshold(100_000)  # these three: as the command `swapbed` does
    atexit.register(gc.freeze)
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "1")
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
