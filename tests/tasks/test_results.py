"""Values that programs report, sought in their output piece by piece."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import records

PIECE = records.PIECE_BYTES


@pytest.mark.parametrize("before", [0, 1, PIECE - 9, PIECE - 1, PIECE, 3 * PIECE + 5])
def test_a_value_is_found_wherever_a_piece_of_the_output_ends(tmp_path: Path, before: int) -> None:
    output = tmp_path / "1.out"
    beginning = b"x" * max(0, before - 1) + b"\n" * min(before, 1)
    output.write_bytes(beginning + b"RESULT speed 42\nRESULT name of it\n" + b"y" * PIECE)
    assert records._results(output) == {"speed": "42", "name": "of it"}


def test_the_end_of_a_long_output_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "RESULTS_LIMIT_BYTES", 100)
    (tmp_path / "1.out").write_bytes(b"RESULT first 1\n" + b"x" * 90 + b"\nRESULT last 2")
    assert records._results(tmp_path / "1.out") == {"last": "2"}
    (tmp_path / "link").symlink_to("1.out")
    assert records._results(tmp_path / "link") == {}
