"""Which paths of a host are hidden, wherever the settings put them and whatever is there."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.settings import Settings
from nodeops.masks import Mask, hidden_paths, masks, password_files, proc_read_only


def test_everything_of_swapbed_is_hidden_wherever_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWAPBED_CONFIG", "/srv/swapbed.toml")
    settings = Settings(state_dir=Path("/srv/state"), database_url="sqlite:////srv/db/x.db", store_url="file:///srv/store",
                        masked_paths=(Path("/secret"),))
    wanted = {"/srv/state", "/srv/db/x.db", "/srv/db/x.db-wal", "/srv/store", "/srv/swapbed.toml", "/secret", "/run", "/tmp"}
    assert wanted <= {str(path) for path in hidden_paths(settings)}
    elsewhere = Settings(database_url="postgresql://h/d", store_url="s3://bucket")
    assert not [path for path in hidden_paths(elsewhere) if "bucket" in str(path) or "h/d" in str(path)]


def test_what_is_there_or_will_be_is_masked_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "directory" / "inner").mkdir(parents=True)
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    found = masks(tmp_path / name for name in ("directory", "directory/inner", "link", "later", "none/of/these"))
    assert found == [Mask(tmp_path / "directory", "empty"), Mask(tmp_path / "file", "absent"), Mask(tmp_path / "later", "absent"),
                     Mask(tmp_path / "none", "absent")]


def test_accounts_without_passwords(tmp_path: Path) -> None:
    (tmp_path / "passwd").write_text("root:x:0:0::/root:/bin/sh\n\nme:x:1000:1000::/home/me:/bin/sh\n")
    (tmp_path / "group").write_text("root:x:0:\n")
    assert password_files(tmp_path) == {"shadow": b"root:*:19000:0:99999:7:::\nme:*:19000:0:99999:7:::\n", "gshadow": b"root:*::\n"}
    assert password_files(tmp_path / "nowhere") == {}


def test_what_changes_the_host_is_read_only() -> None:
    paths = proc_read_only()
    assert {"/proc/sys", "/proc/irq", "/proc/fs"} <= set(paths)
    assert not {"/proc/self", "/proc/1", "/proc/net", "/proc/meminfo"} & set(paths)
    if Path("/proc/sysrq-trigger").exists():
        assert "/proc/sysrq-trigger" in paths
