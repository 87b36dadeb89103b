"""What a program that is run by hand finds in its environment: what an agent of the same node would, but for what is an agent's own."""

from __future__ import annotations

from nodeops.layout import INSIDE
from swapbed.living.access import Access


def surroundings(access: Access, node: str) -> dict[str, str]:
    """Parameter values are those of the run that goes on, or of the last one; before the first, those that the instance was made with."""
    spec, own, run = access.spec, access.spec.node(access.node(node)).environment, access.run()
    made = {parameter.name: parameter.value for parameter in spec.parameters}
    of_run = {name: value for name, value in run.parameters.items() if name in made} if run else {}  # its template may have been another
    return {**spec.environment, **made, **of_run, **own,
            "NODE": node, "INSTANCE": access.where.name, "DATASTORE": str(INSIDE / "datastore"), "ARCHIVE": str(INSIDE / "archive")}
