"""The flow `collect_garbage`: what hosts sent is verified, what no root reaches any more is freed."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from storage.collecting import Collected
from storage.verification import Verified
from tasks.store_upkeep import collect_store, verify_store


@flow(flow_run_name="collect garbage")
def collect_garbage(dry_run: bool = False) -> dict[str, int | str]:
    """Scheduled; a run frees what the one before has condemned, and condemns what became unreachable since. May be killed at any point.

    dry_run: tell what the next runs would free, and free nothing.
    """
    verified = verify_store()
    collected = collect_store(dry_run=dry_run)
    create_table_artifact(key="store-garbage", table=rows(verified, collected), description="The store's garbage")
    return {"verified_packs": verified.verified, "damaged_packs": len(verified.damaged), **figures(collected)}


def figures(collected: Collected) -> dict[str, int | str]:
    """As one line each: a flow's result holds no lists."""
    return {name: "\n".join(value) if isinstance(value, tuple) else value for name, value in collected}


def rows(verified: Verified, collected: Collected) -> list[dict[str, str | int]]:
    """What Prefect's page of the run shows."""
    told = {"packs verified": verified.verified, "packs damaged": len(verified.damaged), "roots": collected.roots,
            "chunks freed": collected.freed_chunks, "bytes freed": collected.freed_bytes, "chunks condemned": collected.condemned_chunks,
            "bytes condemned": collected.condemned_bytes, "packs deleted": collected.deleted_packs,
            "bytes of packs deleted": collected.deleted_bytes, "packs rewritten": collected.rewritten_packs}
    lines: list[dict[str, str | int]] = [{"what": what, "number": number} for what, number in told.items()]
    lines += [{"what": "waits for transfer", "number": transfer} for transfer in collected.waiting_for]
    lines += [{"what": "problem", "number": problem} for problem in (*collected.problems, *(damage.what for damage in verified.damaged))]
    return lines
