"""An instance whose capture failed, or was broken off anywhere, lives on where it stands, without what was done to it."""

from __future__ import annotations

from collections.abc import Mapping

from nodeops.checkpoint.given_names import take_away
from nodeops.checkpoint.patience import with_probes
from nodeops.checkpoint.repaired_sockets import heal
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.standing_still import go_on
from nodeops.layout import InstanceLayout


def live_on(layout: InstanceLayout, spool: Spool, frozen_after_ns: Mapping[str, int]) -> None:
    """No CRIU works with it any more. It may be done again. frozen_after_ns: see `standing_still.go_on`."""
    heal(layout, frozen_after_ns)
    for node in frozen_after_ns:
        take_away(layout.node(node), spool.node(node))
    with_probes(layout, frozen_after_ns)
    go_on(layout, frozen_after_ns)
