"""A chain of routers between two hosts, each hop slower than the one before: what a loop says better than a list.

    swapbed deploy examples/chain -S hops=6 -S step_ms=10
"""

from itertools import pairwise
from typing import Annotated


def build(net, hops: Annotated[int, "routers between the ends"] = 4, step_ms: Annotated[float, "what each hop adds to the delay"] = 2.0,
          loss: Annotated[float, "of every hop, 0 to 1"] = 0.0):
    net.describe("a chain of routers, each hop slower than the one before")
    net.datastore("datastore")
    nodes = [net.node("start"), *(net.node(f"router{n}") for n in range(1, hops + 1)), net.node("end")]
    for number, (near, far) in enumerate(pairwise(nodes), 1):
        net.link(near, far, name=f"hop{number}", bandwidth="50Mb", delay=f"{number * step_ms}ms", loss=loss)
    trip = net.program("trip", nodes[0], "exec $DATASTORE/trip.sh end")
    net.at(0, net.sequence("measure", [trip.run(), net.instance.stop_run()]).start())
