"""Swapbed from Python: experiments as `with` blocks, with the verbs of the command line.

    import swapbed
    with swapbed.deploy("examples/dumbbell", DELAY="20ms") as net:
        print(net["left1"].run("ping -c 3 right1").stdout)
        net.link("bottleneck").set(delay="50ms")

Nothing heavy is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from languages.builder import Topology as topology
    from models.errors import ExperimentFailed as ExperimentFailed
    from models.errors import SwapbedError as SwapbedError
    from swapbed.happened import all_of as events
    from swapbed.instance import Instance as Instance
    from swapbed.instance import Link as Link
    from swapbed.instance import Node as Node
    from swapbed.instance import attach as attach
    from swapbed.instance import deploy as deploy
    from swapbed.instance import fork as fork
    from swapbed.instance import handoff as handoff
    from swapbed.instance import living as instances
    from swapbed.instance import swapin as swapin
    from swapbed.living.checkpoint_verbs import all_of as checkpoints
    from swapbed.metadata import annotate as annotate
    from swapbed.metadata import notes as notes
    from swapbed.pictures.topology import graph as graph
    from swapbed.record_objects import Record as Record
    from swapbed.record_objects import bring as import_record
    from swapbed.record_objects import every as records
    from swapbed.record_objects import one as record
    from swapbed.searching.runs import search as search
    from swapbed.sources.validation import validate as validate
    from swapbed.sweeping import sweep as sweep

FLOORS = ("models", "languages", "storage", "nodeops", "tasks", "flows")

_LAZY = {
    "search": "swapbed.searching.runs:search", "annotate": "swapbed.metadata:annotate", "notes": "swapbed.metadata:notes",
    "validate": "swapbed.sources.validation:validate", "graph": "swapbed.pictures.topology:graph", "topology": "languages.builder:Topology",
    "deploy": "swapbed.instance:deploy", "attach": "swapbed.instance:attach", "instances": "swapbed.instance:living",
    "fork": "swapbed.instance:fork", "swapin": "swapbed.instance:swapin", "handoff": "swapbed.instance:handoff",
    "checkpoints": "swapbed.living.checkpoint_verbs:all_of",
    "Instance": "swapbed.instance:Instance", "Node": "swapbed.instance:Node", "Link": "swapbed.instance:Link",
    "events": "swapbed.happened:all_of",
    "records": "swapbed.record_objects:every", "record": "swapbed.record_objects:one", "Record": "swapbed.record_objects:Record",
    "import_record": "swapbed.record_objects:bring",
    "sweep": "swapbed.sweeping:sweep", "templates": "swapbed.templates",
    "recordings": "swapbed.living.recordings", "store": "swapbed.store",
    "SwapbedError": "models.errors:SwapbedError", "ExperimentFailed": "models.errors:ExperimentFailed",
}

__all__ = ["ExperimentFailed", "Instance", "Link", "Node", "Record", "SwapbedError", "annotate", "attach", "checkpoints", "deploy",
           "events", "fork", "graph", "handoff", "import_record", "instances", "notes", "record", "recordings", "records", "search",
           "store", "swapin", "sweep", "templates", "topology", "validate"]


def _check_floors() -> None:
    """The floors are top-level packages, and a folder of that name beside a user's notebook would hide them."""
    home = Path(__file__).resolve().parent.parent
    for floor in FLOORS:
        spec = find_spec(floor)
        found = [Path(place).resolve() for place in (spec.submodule_search_locations or [spec.origin or ""])] if spec else []
        if home / floor not in found:
            raise ImportError(f"swapbed needs its own package '{floor}' ({home / floor}), but Python finds "
                              f"{', '.join(map(str, found)) or 'none'}: rename that one, or start Python from another directory")


_check_floors()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'swapbed' has no attribute '{name}'")
    module, _, attribute = _LAZY[name].partition(":")
    value = getattr(import_module(module), attribute) if attribute else import_module(module)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
