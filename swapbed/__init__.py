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
    from swapbed.instance import Instance as Instance

FLOORS = ("models", "languages", "storage", "nodeops", "tasks", "flows")

_LAZY = {
    "SwapbedError": "models.errors", "ExperimentFailed": "models.errors",
    "Instance": "swapbed.instance",
}

__all__ = list(_LAZY)


def _check_floors() -> None:
    """The floors are top-level packages, and a folder of that name beside a user's notebook would hide them."""
    home = Path(__file__).resolve().parent.parent
    for floor in FLOORS:
        spec = find_spec(floor)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin is None or origin.parent.parent != home:
            raise ImportError(f"swapbed needs its own package '{floor}' ({home / floor}), but Python finds {origin or 'none'}: "
                              f"rename that one, or start Python from another directory")


_check_floors()


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'swapbed' has no attribute '{name}'")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
