"""What a program that is run by hand finds in its environment: what an agent of the same node would, but for what is an agent's own."""

from __future__ import annotations

from nodeops.layout import INSIDE
from swapbed.living.access import Access


def surroundings(access: Access, node: str) -> dict[str, str]:
    """Parameter values are those that the instance was made with."""
    spec, own = access.spec, access.spec.node(access.node(node)).environment
    return {**spec.environment, **{parameter.name: parameter.value for parameter in spec.parameters}, **own,
            "NODE": node, "INSTANCE": access.where.name, "DATASTORE": str(INSIDE / "datastore"), "ARCHIVE": str(INSIDE / "archive")}
