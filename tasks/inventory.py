"""The host inventory: a TOML file that names the machines nodes may be placed on, brought into the table of hosts."""

from __future__ import annotations

import tomllib
from pathlib import Path

from pydantic import ConfigDict, Field, ValidationError, field_validator
from sqlmodel import Session, select

from languages.units import parse_size
from models.errors import InvalidInput
from models.protocol.control import Message
from models.states import HostState
from models.tables import Host


class InventoryHost(Message):
    """See deployments/hosts.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    address: str | None = None
    python: str | None = None
    nodes: int | None = Field(default=None, ge=0)
    cpus: float | None = Field(default=None, ge=0)
    memory: int | None = None
    drained: bool = False

    @field_validator("memory", mode="before")
    @classmethod
    def _memory(cls, value: str | int | None) -> int | None:
        return None if value is None else parse_size(value, "memory")


class Inventory(Message):
    hosts: dict[str, InventoryHost]

    @staticmethod
    def read(path: Path) -> Inventory:
        """Raises InvalidInput, with the place in the file."""
        try:
            return Inventory.model_validate(tomllib.loads(path.read_text()))
        except OSError as error:
            raise InvalidInput(f"the inventory cannot be read ({error.strerror})", where=str(path)) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"not TOML: {error}", where=str(path)) from error
        except ValidationError as error:
            first = error.errors()[0]
            raise InvalidInput(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", where=str(path),
                               next="See deployments/hosts.toml") from error


def apply_inventory(session: Session, inventory: Inventory) -> list[Host]:
    """The table says what the inventory says; hosts it does not name are drained. Applied twice, it changes nothing the second time."""
    known = {host.name: host for host in session.exec(select(Host))}
    for name, wanted in inventory.hosts.items():
        host = known.setdefault(name, Host(name=name))
        take(host, wanted)
        session.add(host)
    for name in known.keys() - inventory.hosts.keys():
        known[name].state = HostState.DRAINED
    session.flush()
    return sorted(known.values(), key=lambda host: host.name)


def take(host: Host, wanted: InventoryHost) -> None:
    """The row says what is wanted."""
    host.address, host.python, host.nodes, host.cpus, host.memory_bytes = (
        wanted.address, wanted.python, wanted.nodes, wanted.cpus, wanted.memory)
    host.state = HostState.DRAINED if wanted.drained else HostState.UP
