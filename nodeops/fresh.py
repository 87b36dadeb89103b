"""A fresh environment for a run: nodes with the files they had after instantiation, and nothing running in them."""

from __future__ import annotations

from nodeops import daemons
from nodeops.instance import the_record
from nodeops.layout import InstanceLayout
from nodeops.restart import restart_nodes


def make_fresh(layout: InstanceLayout) -> None:
    """The caller holds the instance; no run goes on. The conductor pauses, for it would take the nodes for dead."""
    record = the_record(layout)
    conducted = record.conducted
    if conducted:
        daemons.stop(layout, "conductor")
    restart_nodes(layout, record.nodes, lambda text, done, total: None, fresh=True)
    if conducted:
        daemons.begin(layout, "conductor")
        daemons.await_ready(layout, "conductor")
