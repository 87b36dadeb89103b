"""What of this host a record names."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeops import surroundings

STATUS = "Package: bash\nStatus: install ok installed\nVersion: {version}\n\nPackage: gone\nStatus: deinstall ok config-files\nVersion: 1\n"


def test_packages_that_are_installed_later_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the list is read once, by whoever agents are forked from."""
    status = tmp_path / "status"
    monkeypatch.setattr(surroundings, "DPKG_STATUS", status)
    assert surroundings.surroundings({}, ()).packages == {}
    status.write_text(STATUS.format(version="5.1"))
    first = surroundings.surroundings({}, ())
    assert first.packages == {"bash": "5.1"}
    (tmp_path / "new").write_text(STATUS.format(version="5.2"))
    (tmp_path / "new").rename(status)
    second = surroundings.surroundings({}, ())
    assert second.packages == {"bash": "5.2"}
    assert second.packages_digest != first.packages_digest
