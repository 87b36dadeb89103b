"""Noticing what nobody is left to tell of: instances on this host whose conductor is dead, and perhaps all else with it.

Conductors tell of nodes and wires that die (`messages`); after a crash of the host, or of the conductor itself, this finds them.
On other hosts it is found at the next run's beginning or end.
"""

from __future__ import annotations

from sqlmodel import col, select

from models.database import reading
from models.settings import settings
from models.states import InstanceState
from models.tables import Host, Instance
from nodeops import daemons
from nodeops.layout import InstanceLayout


def without_conductor() -> list[str]:
    """Ids of instances that are up, of this host and state directory, and have none."""
    query = (select(Instance.id).join(Host, col(Instance.home_id) == Host.id)
             .where(Instance.state == InstanceState.UP, col(Host.address).is_(None)))
    with reading() as session:
        ids = list(session.exec(query))
    layouts = {instance: InstanceLayout(settings().instances_dir / instance) for instance in ids}
    return [instance for instance, layout in layouts.items()
            if layout.identity.exists() and not daemons.status(layout, "conductor").alive]
