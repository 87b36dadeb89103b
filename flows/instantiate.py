"""The flow `instantiate`: from a defined instance to one that is up, its first run begun unless it was told not to."""

from __future__ import annotations

from prefect import flow
from prefect.states import Cancelled, State

from models.errors import SwapbedError
from models.states import InstanceState
from tasks.endings import give_up
from tasks.on_host import create_on_host
from tasks.pictures import publish_topology
from tasks.places import place_nodes, placed_and_up
from tasks.runs import begin_first_run
from tasks.work import change, named, working_on


@flow(flow_run_name=named("instantiate"))
def instantiate(instance_id: str, lease: str | None = None) -> dict[str, str | None] | State:
    """Whatever goes wrong or interrupts it, nothing stays on any host, and the instance is `failed` with the reason."""
    with working_on(instance_id, "instantiate", lease) as held:
        change(held, instance_id, InstanceState.INSTANTIATING)
        try:
            hosts = place_nodes(instance_id, str(held))
            for made in [create_on_host.submit(instance_id, host, str(held)) for host in hosts]:
                made.result()
            placed_and_up(instance_id, held)
        except KeyboardInterrupt:
            give_up(instance_id, held, "instantiating it was cancelled")
            return Cancelled(message="What was begun is undone")
        except BaseException as error:
            give_up(instance_id, held, str(error) if isinstance(error, SwapbedError) else repr(error))
            raise
        publish_topology(instance_id)
        return {"instance_id": instance_id, "run_id": begin_first_run(instance_id, str(held))}
