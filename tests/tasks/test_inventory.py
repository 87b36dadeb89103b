"""The inventory that is shipped is valid, applies, and says where it is wrong when it is."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from models.database import writing
from models.errors import InvalidInput
from tasks.inventory import Inventory, apply_inventory

SHIPPED = Path(__file__).parents[2] / "deployments" / "hosts.toml"


def test_the_shipped_one_applies_and_again_and_what_is_gone_is_drained(database: Engine) -> None:
    inventory = Inventory.read(SHIPPED)
    for _ in range(2):
        with writing(database) as session:
            bench1, bench2 = apply_inventory(session, inventory)
    assert (bench1.state, bench1.memory_bytes, bench1.nodes) == ("up", 240 << 30, 500)
    assert bench2.state == "drained"
    with writing(database) as session:
        drained, _ = apply_inventory(session, Inventory(hosts={"bench2": inventory.hosts["bench2"]}))
    assert (drained.name, drained.state) == ("bench1", "drained")


@pytest.mark.parametrize(("text", "told"), [
    ("hosts = 3", "hosts"), ("[hosts.a]\nnods = 1", "hosts.a.nods"), ("[hosts.a]\nmemory = '3 parsecs'", "memory"), ("[", "not TOML")])
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "hosts.toml").write_text(text)
    with pytest.raises(InvalidInput, match=told):
        Inventory.read(tmp_path / "hosts.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"nowhere\.toml.*No such file"):
        Inventory.read(tmp_path / "nowhere.toml")
