"""The nodes of a spec, and what is put into them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from models.events import Environment
from models.names import LABEL
from models.spec.part import Part


class Route(Part):
    """A route by hand. destination: CIDR; via: an address on a LAN of the node."""

    destination: str
    via: str


class Tarball(Part):
    """An archive unpacked into `directory` of a node before its first run. path: in the datastore, or absolute on the host."""

    directory: str
    path: str

    @model_validator(mode="after")
    def _places(self) -> Tarball:
        _check_inside(self.directory, "directory of a tarball")
        if not self.path.startswith("/"):
            _check_datastore(self.path, "tarball")
        return self


class Volume(Part):
    """A file or directory of the datastore put into the node (copied, not shared)."""

    source: str = Field(description="relative to the datastore")
    target: str
    read_only: bool = False

    @model_validator(mode="after")
    def _places(self) -> Volume:
        _check_datastore(self.source, "volume")
        _check_inside(self.target, "target of a volume")
        return self


def _check_datastore(path: str, what: str) -> None:
    if not path or path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{what} '{path}' must lie in the datastore: expected a relative path without '..'")


def _check_inside(path: str, what: str) -> None:
    if not path.startswith("/") or ".." in path.split("/"):
        raise ValueError(f"{what} '{path}' must be absolute in the node, without '..'")


class Node(Part):
    """A machine of the experiment."""

    name: str
    kind: Literal["container", "vm"] = "container"
    image: str = Field(default="host", description="`host`, a named image, or a directory with a root file system")
    cpus: float | None = Field(default=None, gt=0, description="share of host CPUs; None: no limit (VM: 1)")
    memory_bytes: int | None = Field(default=None, gt=0, description="None: no limit (VM: 256 MiB)")
    environment: Environment = {}
    routing: Literal["static", "manual", "none"] = "static"
    routes: tuple[Route, ...] = ()
    outside: bool = Field(default=False, description="a control interface with a route to the outside, through the host")
    failure: Literal["fatal", "nonfatal", "restart"] = "fatal"
    on_failure: str | None = Field(default=None, description="sequence that runs when this node is found dead")
    virtual_wall_clock: bool = Field(default=True, description="container: CLOCK_REALTIME, too, goes on across swaps (docs/checkpoints.md)")
    tarballs: tuple[Tarball, ...] = ()
    volumes: tuple[Volume, ...] = ()
    packages: tuple[str, ...] = Field(default=(), description="ns's tb-set-node-rpms: paths in the datastore, recorded")
    hardware: str | None = Field(default=None, description="ns's tb-set-hardware; recorded, no effect")
    labels: dict[str, str] = {}

    @field_validator("name")
    @classmethod
    def _label(cls, value: str) -> str:
        if not LABEL.fullmatch(value):
            raise ValueError(f"node name '{value}' is not a DNS label (letters, digits, '-', at most 63, no '-' at the ends)")
        return value
