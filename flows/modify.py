"""The flow `modify`: an instance that is up becomes another template, between two runs; what did not change is not touched."""

from __future__ import annotations

from prefect import flow

from models.errors import SwapbedError
from models.states import InstanceState
from tasks.mending import mend_instance
from tasks.modifying import bring_back, check_modifiable, modified, modify_on_host
from tasks.places import hosts_of
from tasks.work import change, named, working_on


@flow(flow_run_name=named("modify"))
def modify(instance_id: str, template_id: str, spec_id: str, lease: str | None = None) -> dict[str, str]:
    """Whatever goes wrong, the instance is as before, and up. Killed in between, `recover` brings it back. Again: nothing changes."""
    with working_on(instance_id, "modify", lease) as held:
        check_modifiable(instance_id, template_id)
        mend_instance(instance_id, str(held))
        change(held, instance_id, InstanceState.MODIFYING)
        try:
            for host in hosts_of(instance_id):
                modify_on_host(instance_id, host, spec_id, str(held))
        except BaseException as error:
            bring_back(instance_id, held, f"it could not be modified: {error if isinstance(error, SwapbedError) else repr(error)}")
            raise
        modified(instance_id, template_id, spec_id, held)
    return {"instance_id": instance_id, "template_id": template_id}
