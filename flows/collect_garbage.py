"""The flow `collect_garbage`: what hosts sent is verified, what no root reaches any more is freed."""

from __future__ import annotations

from prefect import flow
from prefect.artifacts import create_table_artifact

from storage.collecting import Collected
from storage.verification import Verified
from tasks.store_upkeep import collect_store, verify_store


@flow(flow_run_name="collect garbage")
def collect_garbage() -> dict[str, int]:
    """Scheduled; a run frees what the one before has condemned, and condemns what became unreachable since. May be killed at any point."""
    verified = verify_store()
    collected = collect_store()
    create_table_artifact(key="store-garbage", table=rows(verified, collected), description="The store's garbage")
    return {"freed_bytes": collected.freed_bytes, "condemned_bytes": collected.condemned_bytes, "deleted_packs": collected.deleted_packs}


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
