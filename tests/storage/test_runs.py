"""Which bytes of packs are asked for at once, and that nobody is shown more than may be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from storage.channel import RUN_BYTES, RUN_RAW_BYTES, plan_runs
from storage.nodes import Kind
from storage.pack import Located

SIZES = st.lists(st.tuples(st.integers(1, 2 << 20), st.integers(1, 8 << 20), st.booleans()), max_size=60)


def _packs(sizes: dict[str, list[tuple[int, int, bool]]]) -> list[tuple[str, Located]]:
    """Those chunks that are wanted, of packs without gaps between chunks."""
    wanted = []
    for pack, chunks in sizes.items():
        offset = 24
        for number, (stored, raw, asked) in enumerate(chunks):
            if asked:
                wanted.append((pack, Located(f"{pack}{number}".encode().ljust(32), Kind.DATA, offset, stored, raw)))
            offset += stored
    return wanted


@given(st.dictionaries(st.sampled_from("abc"), SIZES), st.sampled_from([0, 1000, 1 << 20]))
def test_runs_cover_what_is_wanted_and_little_else(sizes: dict[str, list[tuple[int, int, bool]]], gap_bytes: int) -> None:
    wanted = _packs(sizes)
    runs = plan_runs(wanted[::-1], gap_bytes)
    assert [(run.pack, chunk) for run in runs for chunk in run.chunks] == sorted(wanted, key=lambda place: (place[0], place[1].offset))
    for run in runs:
        assert run.start == run.chunks[0].offset and run.end == run.chunks[-1].offset + run.chunks[-1].stored_bytes
        gaps = [later.offset - sooner.offset - sooner.stored_bytes for sooner, later in zip(run.chunks, run.chunks[1:], strict=False)]
        assert all(0 <= gap <= gap_bytes for gap in gaps)
        assert sum(chunk.raw_bytes for chunk in run.chunks[:-1]) < RUN_RAW_BYTES
        assert run.end - run.start < RUN_BYTES + gap_bytes + run.chunks[-1].stored_bytes
