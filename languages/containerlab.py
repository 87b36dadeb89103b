"""containerlab's words for nodes, and what becomes of them here. The shape is that of its documented schema (containerlab.dev,
"Topology definition" and "Nodes"); nothing of it is an error, what has no meaning here is named in one warning per key.

A node inherits from its group, its kind and the defaults, the nearest winning; `env` and `labels` are merged, `exec` and
`binds` added up. `exec` becomes a program agent NODE-exec that runs at the start of every run, `entrypoint` and `cmd` one named
NODE-cmd. Kinds other than linux become containers; an image that is a registry's reference becomes the base `host`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field

from languages.draft import Draft
from languages.words import Plain, text, texts
from languages.yaml_reading import Reading
from languages.yaml_tree import Items, Scalar, Table
from models.spec import Volume

_NETWORK = "there is no management network; `outside: true` gives a node a way out"
_ENGINE = "no container engine is involved"
_KIND = "kinds other than linux become plain containers"
_CERTIFICATES = "certificates are not made here"
_ORDER = "use startup-delay or a timeline"

IGNORED_ROOT = {"prefix": "names are an instance's own, nothing is prefixed", "mgmt": _NETWORK, "settings": _CERTIFICATES,
                "debug": "it concerns containerlab alone"}
IGNORED = {
    **dict.fromkeys(("aliases", "dns", "mgmt-ipv4", "mgmt-ipv6", "mgmt_ipv4", "mgmt_ipv6", "network-mode", "publish"), _NETWORK),
    **dict.fromkeys(("auto-remove", "cap-add", "cgroup-parent", "cgroupns-mode", "devices", "image-pull-policy", "kernel",
                     "link-apply-mode", "pid-mode", "privileged", "runtime", "sandbox", "security-opts", "shm-size", "tmpfs"), _ENGINE),
    **dict.fromkeys(("components", "extras", "license", "startup-config", "type"), _KIND),
    **dict.fromkeys(("SANs", "certificate"), _CERTIFICATES), **dict.fromkeys(("stages", "wait-for"), _ORDER),
    **dict.fromkeys(("enforce-startup-config", "suppress-startup-config"), "nothing loads a startup-config"),
    "config": "nothing renders configuration templates", "cpu-set": "use cpus for a share of the host",
    "credentials": "use exec or an interactive shell", "env-files": "use env", "healthcheck": "use a program agent",
    "hostname": "a node's name is its host name",
    "ports": "nodes are reached with exec and cp; `outside: true` gives a node a way out",
    "restart-policy": "use failure: restart", "sysctls": "use exec with sysctl -w", "user": "use user of a program agent",
}
RENAMED = {"env": "environment", "cpu": "cpus"}
PROGRAMS = ("exec", "entrypoint", "cmd", "startup-delay")
OTHERS = ("binds", "group")
_MERGED, _ADDED = ("env", "environment", "labels"), ("exec", "binds")
_OUR_KINDS = ("container", "vm")
_REFERENCE = re.compile(r"[^/.].*[:/].*|[^/:]+:[^/]+")


def inherit(reading: Reading, topology: Table, node: Table) -> Table:
    """The node's own keys and those it inherits, with the lines they come from."""
    defaults = reading.table(topology, "defaults", "a mapping of settings")
    groups, kinds = (reading.table(topology, key, "a mapping from names to settings") for key in ("groups", "kinds"))
    group = _named(reading, groups, _text(reading, node, "group") or _text(reading, defaults, "group"))
    kind = _named(reading, kinds, _text(reading, node, "kind") or _text(reading, group, "kind") or _text(reading, defaults, "kind"))
    result = Table(node.line)
    for level in (node, group, kind, defaults):
        for key, part in level.items.items():
            mine = result.items.get(key)
            if mine is None or (isinstance(mine, Scalar) and mine.text is None):
                result.put(key, level.key_lines[key], part)
            elif key in _MERGED and isinstance(mine, Table) and isinstance(part, Table):
                result.items[key] = Table(mine.line, {**part.items, **mine.items}, {**part.key_lines, **mine.key_lines})
            elif key in _ADDED and isinstance(mine, Items) and isinstance(part, Items):
                result.items[key] = Items(mine.line, [*part.items, *mine.items])
    return result


def _named(reading: Reading, sections: Table, name: str | None) -> Table:
    return reading.table(sections, name, "a mapping of settings") if name in sections.items else Table(sections.line)


def _text(reading: Reading, table: Table, key: str) -> str | None:
    part = table.items.get(key)
    if part is None or (isinstance(part, Scalar) and part.text is None):
        return None
    return reading.read(part, text, table, key)


def is_reference(image: str) -> bool:
    """Whether this names an image in a registry ([HOST/]NAME/NAME[:TAG], NAME:TAG) rather than one of ours."""
    return _REFERENCE.fullmatch(image) is not None


@dataclass
class Translator:
    """Keeps what has been warned of, so that each thing is said once. lab: the topology's name. plain_kinds: kinds that are
    not containerlab's are allowed to be wrong (in a file with `topology`), else they are the reader's to refuse."""

    reading: Reading
    draft: Draft
    lab: str
    clab_shape: bool
    uses_directory: bool = False
    _said: set[tuple[str, str]] = field(default_factory=set)

    def ignore(self, parent: Table, key: str, why: str) -> None:
        self._once("key", key, f"'{key}' has no effect here: {why}", self.reading.where(parent, key))

    def kind_and_image(self, node: Table) -> dict[str, str]:
        """Our kind and image, for whatever stands there."""
        kind, image = _text(self.reading, node, "kind"), _text(self.reading, node, "image")
        ours = kind is None or kind in _OUR_KINDS
        result: dict[str, str] = {}
        if kind is not None and (ours or not (self.clab_shape or kind == "linux")):
            result["kind"] = kind
        elif not ours and kind != "linux":
            note = "; to join its links into one network, use lans" if "bridge" in str(kind) else ""
            self._once("kind", str(kind), f"nodes of kind '{kind}' become containers{note}", self.reading.where(node, "kind"))
        if image is not None and image != "host":
            if image.startswith(("/", "./", "../")) or (ours and not is_reference(image)):
                result["image"] = image
            else:
                self._once("image", image, f"image '{image}' is a registry's; its nodes get the base 'host' (an overlay over the "
                           "host's own root)", self.reading.where(node, "image"))
        return result

    def programs(self, name: str, node: Table) -> list[tuple[str, str, float, str]]:
        """(agent, command, start in seconds, where) of what containerlab would have run in the node."""
        found: list[tuple[str, str, float, str]] = []
        delay = 0.0
        if "startup-delay" in node.items:
            delay = self.reading.read(node.items["startup-delay"], _seconds, node, "startup-delay")
        words = [_text(self.reading, node, key) for key in ("entrypoint", "cmd")]
        if any(words):
            where = self.reading.where(node, "cmd" if words[1] else "entrypoint")
            found.append((f"{name}-cmd", self.magic(" ".join(w for w in words if w), name), delay, where))
        if "exec" in node.items:
            commands = self.reading.read(node.items["exec"], texts, node, "exec")
            found.append((f"{name}-exec", "\n".join(self.magic(c, name) for c in commands), delay, self.reading.where(node, "exec")))
        return found

    def volumes(self, name: str, node: Table) -> list[Volume]:
        """Binds of files beside the source; those of the host's own are left out, for base `host` has them.

        name: the node's as it is written there, for directories are called after it.
        """
        part, found = node.items.get("binds"), []
        for bind in self.reading.read(part, texts, node, "binds") if part is not None else ():
            source, _, rest = self.magic(bind, name).partition(":")
            target, _, mode = rest.partition(":")
            if source.startswith(("/", "~")) or ".." in source.split("/") or not target.startswith("/"):
                self._once("bind", bind, f"bind '{bind}' has no effect here: only files beside the source can be put into nodes (the base "
                           "'host' has the host's)", self.reading.where(node, "binds"))
                continue
            self.uses_directory = True
            found.append(Volume(source=source.removeprefix("./"), target=target, read_only=mode.startswith("ro")))
        return found

    def magic(self, written: str, node: str) -> str:
        """containerlab's magic variables."""
        lab = f"clab-{self.lab}"
        for variable, value in (("__clabNodeName__", node), ("__clabLabName__", lab), ("__clabNodeDir__", f"{lab}/{node}"),
                                ("__clabDir__", lab)):
            written = written.replace(variable, value)
        return written

    def _once(self, what: str, name: str, text: str, where: str) -> None:
        if (what, name) not in self._said:
            self._said.add((what, name))
            self.draft.warn(text, where)


def _seconds(value: Plain) -> float:
    if not re.fullmatch(r"\d+(\.\d+)?", str(value)):
        raise ValueError(f"startup-delay is a number of seconds, not '{value}'")
    return float(value)


def node_name(name: str) -> str:
    """A DNS label: containerlab also allows dots and underscores."""
    return re.sub(r"[._]", "-", name)


LINK_KINDS = ("veth", "veth-stitch", "dummy")
OUTSIDE_KINDS = ("mgmt-net", "macvlan", "host", "vxlan", "vxlan-stitch", "vxlan-stitched")
LINK_KEYS = ("type", "mtu", "vars", "labels")
_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")


def leads_outside(link: Plain, nodes: Container[str]) -> str | None:
    """The kind of a link that ends outside the experiment (in the host, say), named by its type or, in the brief form, by an end."""
    if link.get("type") in OUTSIDE_KINDS:
        return link["type"]
    ends = link.get("endpoints")
    for end in ends if isinstance(ends, list) else ():
        if isinstance(end, str) and (head := end.partition(":")[0]) in OUTSIDE_KINDS and head not in nodes:
            return head
    return None


def translate_end(end: Plain, warn: Callable[[str], None]) -> Plain:
    """An end with our node name, and without an interface name that Linux could not carry (ethernet-1/1): it gets the next free ethN."""
    if isinstance(end, str):
        node, colon, interface = end.partition(":")
        translated = translate_end({"node": node, "interface": interface or None}, warn)
        return translated["node"] + (f":{translated['interface']}" if translated["interface"] else colon if not interface else "")
    if not isinstance(end, Mapping) or not isinstance(end.get("node"), str):
        return end
    result = {**end, "node": node_name(end["node"])}
    wanted = end.get("interface")
    if isinstance(wanted, str) and not _INTERFACE.fullmatch(wanted):
        warn(f"'{wanted}' cannot be the name of a Linux interface; it becomes the next free ethN of '{result['node']}'")
        result["interface"] = None
    return result
