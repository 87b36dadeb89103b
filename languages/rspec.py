"""RSpec version 3, as geni-lib writes it for CloudLab and Emulab's portal, to a spec.

Nodes, links and LANs, interfaces with addresses, link properties, delay nodes between two links (geni-lib's bridged links),
install and execute services, failure actions, cores and memory of virtual nodes, and the parameters a portal bound. The rest is
placement and the testbed's own business: recorded, or warned of once.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from languages.draft import Draft, make
from languages.evaluate import Evaluation, Source
from languages.ns.ignored import STANDARD_IMAGE
from languages.parameters import bind
from languages.rspec_links import add_links
from languages.xml_tree import Element, read_xml
from models.errors import InvalidInput
from models.spec import Event, Node, Parameter, ProgramAgent, Tarball, TimedEvent

VERSION = "http://www.geni.net/resources/rspec/3"
LABEL = "emulab."
_PARAMETER = re.compile(r"(?:.*\.)?([A-Za-z_][A-Za-z0-9_]*)")
_URN = re.compile(r"urn:publicid:IDN\+[^+]*\+[^+]*\+(.*)")
_SAID_ONCE = {
    "component_id": "the machine a node was given; nodes are placed on your hosts",
    "routable_control_ip": "public addresses; say `outside: true` in YAML for a way out",
    "blockstore": "disks of the testbed's storage; use the datastore", "login": "accounts; use `swapbed exec` or `shell`",
    "vnc": "remote consoles", "hardware_type": "types of the testbed's machines", "tmcd": "the testbed's own services",
    "program_agent": "Emulab's own program agents; use execute services"}
_SILENT = {"sliver_type", "services", "interface", "failure_action", "host", "location", "relation", "jacks", "site", "icon", "available"}
_SHELLS = ("sh", "/bin/sh", "")


def evaluate(source: Source, values: dict[str, str]) -> Evaluation:
    root = _root(source)
    draft = Draft(source.name)
    draft.fields["name"] = Path(source.name).name.partition(".")[0] or "experiment"
    reader = _Reader(draft, root)
    draft.parameters = bind(source.name, reader.parameters(), values)
    reader.read()
    return Evaluation(draft.finish(), tuple(draft.warnings))


def parameters_of(source: Source) -> tuple[Parameter, ...]:
    return _Reader(Draft(source.name), _root(source)).parameters()


def _root(source: Source) -> Element:
    root = read_xml(source.text, source.name)
    where = f"{source.name}:{root.line}"
    if root.name != "rspec":
        raise InvalidInput(f"the document is a '{root.name}', not an RSpec", where=where)
    if root.space != VERSION:
        raise InvalidInput(f"RSpec of another version: '{root.space or 'no name space'}'", where=where, next=f"Expected {VERSION}.")
    if root.attributes.get("type", "request") == "advertisement":
        raise InvalidInput("this RSpec advertises what a testbed has", where=where, next="Expected a request or a manifest.")
    return root


class _Reader:
    def __init__(self, draft: Draft, root: Element):
        self._draft, self._root = draft, root
        self._warned: set[str] = set()

    def parameters(self) -> tuple[Parameter, ...]:
        """Those that a portal bound before it made this document; they have shaped it already, and reach programs."""
        found: dict[str, Parameter] = {}
        for item in (item for data in self._root.all("data_set") for item in data.all("data_item")):
            match = _PARAMETER.fullmatch(item.attributes.get("name", ""))
            if match:
                text = " ".join(item.text.split())
                found.setdefault(match[1], Parameter(name=match[1], default=text, value=text))
        return tuple(found.values())

    def read(self) -> None:
        tour = self._root.first("rspec_tour")
        if tour is not None and (description := tour.first("description")) is not None:
            self._draft.set("description", " ".join(description.text.split()), self._where(tour))
        nodes = [n for n in self._root.all("node") if not _is_delay(n)]
        names = {id(node): self._name(node) for node in nodes}
        for node in nodes:
            self._node(node, names[id(node)])
        add_links(self._draft, self._root, {id(node): names[id(node)] for node in nodes}, self._warn)
        for node in nodes:
            self._services(node, names[id(node)])

    def _where(self, element: Element) -> str:
        return f"{self._draft.source}:{element.line}"

    def _warn(self, key: str, reason: str, element: Element) -> None:
        if key not in self._warned:
            self._warned.add(key)
            self._draft.warn(f"{key}: {reason}", self._where(element))

    def _name(self, node: Element) -> str:
        given = node.attributes.get("client_id", "")
        if not given:
            raise InvalidInput("a node has no client_id", where=self._where(node))
        name = re.sub(r"[_.]", "-", given)
        if name != given:
            self._warn(f"client_id '{given}'", f"'{name}' here, for a node's name is a DNS label", node)
        return name

    def _node(self, node: Element, name: str) -> None:
        fields: dict = {"labels": {}, "routing": "static"}
        sliver = node.first("sliver_type")
        if sliver is not None:
            self._sliver(sliver, fields)
        if (hardware := node.first("hardware_type")) is not None:
            fields["hardware"] = hardware.attributes.get("name")
        if (failure := node.first("failure_action")) is not None:
            action = failure.attributes.get("action", "fatal")
            fields["failure"] = action if action in ("fatal", "nonfatal") else "nonfatal"
        if "component_id" in node.attributes:
            self._warn("component_id", _SAID_ONCE["component_id"], node)
        for child in node.children:
            if child.name not in _SILENT:
                self._warn(child.name, _SAID_ONCE.get(child.name, "it means nothing here"), child)
        fields["tarballs"] = [t for s in node.all("services") for i in s.all("install") if (t := self._tarball(i)) is not None]
        self._draft.add_node(make(Node, self._where(node), name=name, **fields), self._where(node))

    def _sliver(self, sliver: Element, fields: dict) -> None:
        type = sliver.attributes.get("name", "")
        fields["labels"][f"{LABEL}sliver_type"] = type
        if (image := sliver.first("disk_image")) is not None:
            name = image.attributes.get("name") or image.attributes.get("url", "")
            if (urn := _URN.fullmatch(name)) is not None:
                name = urn[1]
            name = re.split(r"//|:", name)[-1] if "/" in name or ":" in name else name
            if STANDARD_IMAGE.fullmatch(name):
                fields["labels"][f"{LABEL}osname"] = name
                self._warn(
                    "disk_image",
                    f"the testbed's standard images do not exist here: '{name}' is recorded, and the node has the base 'host'",
                    image,
                )
            elif name:
                fields["image"] = name
        for virtual in (*sliver.all("xen"), *sliver.all("docker")):
            if cores := virtual.attributes.get("cores"):
                fields["cpus"] = _number(cores, self._where(virtual), "cores")
            if ram := virtual.attributes.get("ram"):
                fields["memory_bytes"] = int(_number(ram, self._where(virtual), "ram") * (1 << 20))

    def _tarball(self, install: Element) -> Tarball | None:
        url, directory = install.attributes.get("url", ""), install.attributes.get("install_path", "/")
        if "://" in url:
            self._warn("install", f"'{url}' is not fetched: put the archive into the datastore", install)
            return None
        return make(Tarball, self._where(install), directory=directory, path=url)

    def _services(self, node: Element, name: str) -> None:
        """Execute services run one after the other when a run begins."""
        agents = []
        for number, execute in enumerate((e for s in node.all("services") for e in s.all("execute")), 1):
            command, shell = execute.attributes.get("command", "").strip(), execute.attributes.get("shell", "sh")
            if not command:
                raise InvalidInput("an execute service has no command", where=self._where(execute))
            agent = f"{name}-execute-{number}"
            text = command if shell in _SHELLS else f"{shell} -c {shlex.quote(command)}"
            self._draft.add_agent(make(ProgramAgent, self._where(execute), name=agent, node=name, command=text), self._where(execute))
            agents.append((agent, execute))
        for services in node.all("services"):
            for child in services.children:
                if child.name not in ("execute", "install"):
                    self._warn(child.name, _SAID_ONCE.get(child.name, "it means nothing here"), child)
        if len(agents) == 1:
            self._start(agents[0][0], agents[0][1])
        elif agents:
            self._draft.add_sequence(f"{name}-services", self._where(agents[0][1]))
            for agent, execute in agents:
                self._draft.add_step(f"{name}-services", Event(target=agent, verb="run"), self._where(execute))
            self._start(f"{name}-services", agents[0][1])

    def _start(self, target: str, element: Element) -> None:
        self._draft.add_event(TimedEvent(target=target, verb="start"), self._where(element))


def _is_delay(node: Element) -> bool:
    sliver = node.first("sliver_type")
    return sliver is not None and sliver.attributes.get("name") == "delay"


def _number(text: str, where: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 < value < 1e9:
        raise InvalidInput(f"{what} '{text}' is not a number above 0", where=where)
    return value

