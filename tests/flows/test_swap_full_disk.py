"""A swapout into a store that is full, and a swapin into a spool that is: back to where it began, with nothing left over."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from flows import load
from flows.swapin import swapin
from flows.swapout import swapout
from models.database import reading
from models.errors import SwapbedError
from models.instances import placements
from models.settings import settings
from models.states import InstanceState
from models.tables import Instance
from nodeops.linux import mount
from tests.flows.test_checkpoint import assert_goes_on
from tests.flows.test_swap import EXPERIMENT, said, spooled


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("prefect_server")
def test_the_disk_is_full(state_dir: Path, define: Callable[..., Instance], look: Callable[[str], Instance],
                          until: Callable[..., None]) -> None:
    store, spool = state_dir / "store", state_dir / "spool" / "checkpoints"
    for small in (store, spool):
        small.mkdir(parents=True)
    mount("tmpfs", store, "tmpfs", options="size=1m")
    try:
        instance = define(EXPERIMENT)
        load("instantiate")(instance.id)
        said(instance, "head -c 4000000 /dev/urandom > /noise")
        with pytest.raises(SwapbedError, match="no space left"):
            swapout(instance.id)
        assert look(instance.id).state is InstanceState.UP and not spooled()
        assert_goes_on(instance, until)
        subprocess.run(["mount", "-o", "remount,size=300m", store], check=True)
        swapout(instance.id)
        mount("tmpfs", spool, "tmpfs", options="size=1m")
        try:
            with pytest.raises(SwapbedError, match="no space left to restore into"):
                swapin(instance.id)
            assert look(instance.id).state is InstanceState.SWAPPED_OUT and not spooled()
            with reading() as session:
                assert not placements(session, instance.id)
            assert not list(settings().instances_dir.iterdir())
        finally:
            subprocess.run(["umount", spool], check=True)
        swapin(instance.id)
        assert_goes_on(instance, until)
        load("destroy")(instance.id)
    finally:
        subprocess.run(["umount", store], check=True)
