"""The flow `handoff`: an instance leaves its host, and one that was swapped out goes on there in its place, pipelined.

The host is idle from the instant at which the one stands still until the other goes on, and no longer: what the other needs is fetched
before that, and what was captured of the one is stored after it.
"""

from __future__ import annotations

from contextlib import suppress
from time import monotonic

from prefect import flow
from prefect.states import Cancelled, State

from models.checkpoints import checkpoint_by_id
from models.database import reading
from models.errors import SwapbedError
from models.states import InstanceState
from tasks.checkpoints import capture_on_host, fire_swapout_events, host_of
from tasks.handing_off import also_told, check_handoff, go_back, publish_handoff, standing_since_s, state_of, told
from tasks.recordings import rescue_recordings
from tasks.restoring import check_on_host, fetch_checkpoint, lives_on, restore_on_host, way_back
from tasks.returning import place_again
from tasks.swapping import begin_checkpoint, finish_spooled, forget_spools, free_room
from tasks.work import change, named, working_on


@flow(flow_run_name=named("handoff"))
def handoff(instance_id: str, successor_id: str) -> dict[str, str | int | float | None] | State:
    """The first leaves, the second comes. Until the first is captured whole, whatever goes wrong leads back: the one goes on, the other is
    swapped out. From then on the one is `spooled` and goes into the store, whatever becomes of the other, which lives or is swapped out.
    """
    both = instance_id, successor_id
    check_handoff(*both)
    with working_on(instance_id, "handoff") as leaving:
        try:
            with working_on(successor_id, "handoff") as coming:  # given back as soon as it goes on
                host = host_of(instance_id)
                change(coming, successor_id, InstanceState.SWAPPING_IN)
                try:
                    came_from = way_back(successor_id, None).id
                    host = place_again(successor_id, came_from, str(coming), host.id, instead_of=instance_id)
                    fetch_checkpoint(successor_id, host, came_from)
                    check_on_host(successor_id, came_from, host, str(coming))
                    checkpoint_id = begin_checkpoint(instance_id, leaving, InstanceState.SWAPPING_OUT, "swapout")
                    fire_swapout_events(instance_id)
                    rescue_recordings(instance_id)
                    capture_on_host(checkpoint_id, host, str(leaving))
                    since_s = standing_since_s(checkpoint_id)
                    change(leaving, instance_id, InstanceState.SPOOLED, reason=None)
                    free_room(instance_id, leaving)
                    restored = restore_on_host(successor_id, came_from, host, str(coming))
                    idle_s = monotonic() - since_s
                    forget_spools(successor_id)
                    lives_on(successor_id, came_from, coming)
                except BaseException as error:
                    go_back(instance_id, leaving, successor_id, coming, "cancelled" if isinstance(error, KeyboardInterrupt) else str(error))
                    raise
        except KeyboardInterrupt:
            return Cancelled(message=told(*both))
        except Exception as error:
            if state_of(instance_id) is InstanceState.SPOOLED:
                with suppress(SwapbedError):  # its row says why not
                    finish_spooled(instance_id, leaving)
            raise also_told(error, *both) from error
        try:
            finish_spooled(instance_id, leaving)
        except KeyboardInterrupt:
            return Cancelled(message=told(*both))
        except SwapbedError as error:
            raise also_told(error, *both) from error
    publish_handoff(*both, idle_s)
    with reading() as session:
        done = checkpoint_by_id(session, checkpoint_id)
        return {"instance_id": instance_id, "checkpoint_id": done.id, "root": done.root, "stored_bytes": done.stored_bytes,
                "successor_id": successor_id, "successor_checkpoint_id": came_from, "late_ns": restored.late_ns, "idle_s": idle_s}
