"""The tb-set-* commands that mean something here. Emulab's `tb_compat.tcl` is this and `ignored`."""

from __future__ import annotations

import math
from collections.abc import Callable

from languages.ns.ignored import IGNORED_COMMANDS, STANDARD_IMAGE
from languages.ns.lanlink import Lan, LanLink, Link, Member
from languages.ns.node import Node, Tarball
from languages.ns.objects import Command, Function
from languages.ns.program import start_command
from languages.ns.quantities import address, boolean, delay_ms, integer, loss, mask, rate_kbps
from languages.ns.refusal import Refused, did_you_mean
from languages.ns.simulator import Simulator, set_routing
from languages.ns.world import World

COMMANDS: dict[str, Command] = {}
ARCHIVES = (".tar", ".tar.Z", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
KINDS_OF_NODES = ("container", "vm")  # our own words for tb-set-hardware


def testbed(name: str, usage: str) -> Callable[[Function], Function]:
    def keep(function: Function) -> Function:
        COMMANDS[name] = Command(name, usage, function)
        return function

    return keep


def _ignoring(name: str, reason: str) -> Command:
    return Command(name, "[ARGUMENT] …", lambda world, *words: world.ignore(name, reason))


COMMANDS.update({name: _ignoring(name, reason) for name, reason in IGNORED_COMMANDS.items()})


# addresses

@testbed("tb-set-ip", "NODE ADDRESS")
def set_ip(world: World, node: str, text: str) -> None:
    found = world.find(node, Node, what="tb-set-ip")
    if len(found.ports) != 1:
        raise Refused(
            f"tb-set-ip: {found.name} has {len(found.ports)} links and LANs instead of one", "Use tb-set-ip-link or tb-set-ip-lan."
        )
    _set_address(world, found.ports[0], text)


@testbed("tb-set-ip-interface", "NODE NEIGHBOUR ADDRESS")
def set_ip_interface(world: World, node: str, neighbour: str, text: str) -> None:
    found = world.find(node, Node, what="tb-set-ip-interface")
    link = _link_between(world, found, world.find(neighbour, Node, what="tb-set-ip-interface"), "tb-set-ip-interface")
    _set_address(world, link.member_of(found, "tb-set-ip-interface"), text)


@testbed("tb-set-ip-lan", "NODE LAN ADDRESS")
def set_ip_lan(world: World, node: str, lan: str, text: str) -> None:
    _set_address(world, _member(world, node, world.find(lan, Lan, what="tb-set-ip-lan"), "tb-set-ip-lan"), text)


@testbed("tb-set-ip-link", "NODE LINK ADDRESS")
def set_ip_link(world: World, node: str, link: str, text: str) -> None:
    _set_address(world, _member(world, node, world.find(link, Link, what="tb-set-ip-link"), "tb-set-ip-link"), text)


@testbed("tb-set-netmask", "LINK MASK")
def set_netmask(world: World, lanlink: str, text: str) -> None:
    world.find(lanlink, Link, Lan, what="tb-set-netmask").mask = mask(text)


def _set_address(world: World, member: Member, text: str) -> None:
    member.address, member.address_line = address(text), world.here()


# nodes

@testbed("tb-set-hardware", "NODE TYPE [ARGUMENT] …")
def set_hardware(world: World, node: str, type: str, *words: str) -> None:
    found = world.find(node, Node, what="tb-set-hardware")
    found.hardware = type
    if type not in (*KINDS_OF_NODES, "pc"):
        world.ignore("tb-set-hardware", f"types of Emulab's machines: '{type}' is recorded, and the node is a container "
                                        f"(`{KINDS_OF_NODES[1]}` makes it a virtual machine)")


@testbed("tb-set-node-os", "NODE IMAGE [PARENT]")
def set_node_os(world: World, node: str, image: str, parent: str = "0") -> None:
    world.find(node, Node, what="tb-set-node-os").image = image
    if STANDARD_IMAGE.fullmatch(image):
        world.ignore(
            "tb-set-node-os", f"Emulab's standard images do not exist here: '{image}' is recorded, and the node has the base 'host'"
        )
    if parent not in ("", "0"):
        world.ignore("tb-set-node-os PARENT", "the image of the machine below a virtual node")


@testbed("tb-set-node-memory-size", "NODE MEGABYTES")
def set_node_memory_size(world: World, node: str, text: str) -> None:
    world.find(node, Node, what="tb-set-node-memory-size").memory_mib = integer(text, "tb-set-node-memory-size", 1, 1 << 24)


@testbed("tb-set-node-rpms", "NODE RPM …")
def set_node_rpms(world: World, node: str, *rpms: str) -> None:
    found = world.find(node, Node, what="tb-set-node-rpms")
    found.packages = tuple(rpms[0].split() if len(rpms) == 1 else rpms)
    world.ignore("tb-set-node-rpms", "packages are recorded, not installed; put them into an image or a tar file")


@testbed("tb-set-node-startup", "NODE COMMAND")
def set_node_startup(world: World, node: str, text: str) -> None:
    world.find(node, Node, what="tb-set-node-startup").startup = text


@testbed("tb-set-node-startcmd", "NODE COMMAND")
def set_node_startcmd(world: World, node: str, text: str) -> str:
    return start_command(world.find(node, Node, what="tb-set-node-startcmd"), text).name


@testbed("tb-set-node-tarfiles", "NODE DIRECTORY [TARFILE] …")
def set_node_tarfiles(world: World, node: str, *words: str) -> None:
    world.find(node, Node, what="tb-set-node-tarfiles").tarballs = _tarballs(world, words, "tb-set-node-tarfiles")


@testbed("tb-set-tarfiles", "DIRECTORY [TARFILE] …")
def set_tarfiles(world: World, *words: str) -> None:
    world.tarballs += _tarballs(world, words, "tb-set-tarfiles")


def _tarballs(world: World, words: tuple[str, ...], what: str) -> list[Tarball]:
    if len(words) == 1:
        words = tuple(words[0].split())
    if len(words) % 2 or not words:
        raise Refused(f"{what} expects pairs of a directory and a tar file")
    found = [Tarball(directory, file, world.here()) for directory, file in zip(words[::2], words[1::2], strict=True)]
    for tarball in found:
        if not tarball.directory.startswith("/"):
            raise Refused(f"{what}: '{tarball.directory}' is not an absolute path of a directory in the node")
        if not tarball.path.endswith(ARCHIVES):
            raise Refused(f"{what}: '{tarball.path}' does not end in one of {', '.join(ARCHIVES)}")
        if "://" in tarball.path:
            world.ignore("tarfile of a URL", f"'{tarball.path}' is not fetched: put the archive into the datastore")
    return found


@testbed("tb-set-node-failure-action", "NODE ACTION")
def set_node_failure_action(world: World, node: str, action: str) -> None:
    found = world.find(node, Node, what="tb-set-node-failure-action")
    if action not in ("fatal", "nonfatal", "ignore", "restart"):
        raise Refused(f"unknown failure action '{action}': expected fatal, nonfatal or ignore")
    if action == "ignore":
        world.ignore("tb-set-node-failure-action ignore", "a node's failure is always told to its run: it counts as nonfatal")
    found.failure = action


@testbed("tb-set-sync-server", "NODE")
def set_sync_server(world: World, node: str) -> None:
    world.sync_server = world.find(node, Node, what="tb-set-sync-server")


@testbed("tb-set-ip-routing", "TYPE")
def set_ip_routing(world: World, type: str) -> None:
    if type not in ("none", "ospf"):
        raise Refused(f"tb-set-ip-routing: '{type}' is not one of none, ospf")
    set_routing(world, type)


# links and LANs

@testbed("tb-set-link-loss", "LINK [NODE] LOSS")
def set_link_loss(world: World, first: str, *words: str) -> None:
    if len(words) == 2:
        lanlink: LanLink = _link_between(
            world, world.find(first, Node, what="tb-set-link-loss"), world.find(words[0], Node, what="tb-set-link-loss"), "tb-set-link-loss"
        )
    else:
        lanlink = world.find(first, Link, Lan, what="tb-set-link-loss")
    _set_loss(lanlink.members, half_loss(words[-1]))


@testbed("tb-set-lan-loss", "LAN LOSS")
def set_lan_loss(world: World, lan: str, text: str) -> None:
    _set_loss(world.find(lan, Lan, what="tb-set-lan-loss").members, half_loss(text))


@testbed("tb-set-node-lan-delay", "NODE LAN DELAY")
def set_node_lan_delay(world: World, node: str, lan: str, text: str) -> None:
    member = _member(world, node, world.find(lan, Lan, what="tb-set-node-lan-delay"), "tb-set-node-lan-delay")
    member.to_ms = member.back_ms = _ms(world, text)


@testbed("tb-set-node-lan-bandwidth", "NODE LAN BANDWIDTH")
def set_node_lan_bandwidth(world: World, node: str, lan: str, text: str) -> None:
    member = _member(world, node, world.find(lan, Lan, what="tb-set-node-lan-bandwidth"), "tb-set-node-lan-bandwidth")
    member.to_kbps = member.back_kbps = _kbps(world, text)


@testbed("tb-set-node-lan-loss", "NODE LAN LOSS")
def set_node_lan_loss(world: World, node: str, lan: str, text: str) -> None:
    member = _member(world, node, world.find(lan, Lan, what="tb-set-node-lan-loss"), "tb-set-node-lan-loss")
    member.to_loss = member.back_loss = loss(text)


@testbed("tb-set-node-lan-params", "NODE LAN DELAY BANDWIDTH LOSS")
def set_node_lan_params(world: World, node: str, lan: str, delay: str, bandwidth: str, lost: str) -> None:
    set_node_lan_delay(world, node, lan, delay)
    set_node_lan_bandwidth(world, node, lan, bandwidth)
    set_node_lan_loss(world, node, lan, lost)


@testbed("tb-set-link-simplex-params", "LINK SOURCE DELAY BANDWIDTH LOSS")
def set_link_simplex_params(world: World, link: str, source: str, delay: str, bandwidth: str, lost: str) -> None:
    found = world.find(link, Link, what="tb-set-link-simplex-params")
    member = _member(world, source, found, "tb-set-link-simplex-params")
    other = next(m for m in found.members if m is not member)
    member.to_ms = other.back_ms = _ms(world, delay) / 2
    member.to_kbps = other.back_kbps = _kbps(world, bandwidth)
    member.to_loss = other.back_loss = half_loss(lost)


@testbed("tb-set-lan-simplex-params", "LAN NODE TODELAY TOBANDWIDTH TOLOSS FROMDELAY FROMBANDWIDTH FROMLOSS")
def set_lan_simplex_params(world: World, lan: str, node: str, to_delay: str, to_bandwidth: str, to_loss: str,
                           from_delay: str, from_bandwidth: str, from_loss: str) -> None:
    member = _member(world, node, world.find(lan, Lan, what="tb-set-lan-simplex-params"), "tb-set-lan-simplex-params")
    member.to_ms, member.to_kbps, member.to_loss = _ms(world, to_delay), _kbps(world, to_bandwidth), loss(to_loss)
    member.back_ms, member.back_kbps, member.back_loss = _ms(world, from_delay), _kbps(world, from_bandwidth), loss(from_loss)


@testbed("tb-set-noshaping", "LINK ONOFF")
def set_noshaping(world: World, lanlink: str, on: str) -> None:
    world.find(lanlink, Link, Lan, what="tb-set-noshaping").unshaped = boolean(on, "tb-set-noshaping")


def half_loss(text: str) -> float:
    """Of each of the two pipes that a frame passes, so that both together lose what was asked for."""
    return 1 - math.sqrt(1 - loss(text))


def _set_loss(members: list[Member], value: float) -> None:
    for member in members:
        member.to_loss = member.back_loss = value


def _ms(world: World, text: str) -> float:
    return world.whole(delay_ms(text), "milliseconds")


def _kbps(world: World, text: str) -> int:
    return world.whole(rate_kbps(text), "kbit/s")


def _member(world: World, node: str, lanlink: LanLink, what: str) -> Member:
    return lanlink.member_of(world.find(node, Node, what=what), what)


def _link_between(world: World, first: Node, second: Node, what: str) -> Link:
    assert isinstance(world.simulator, Simulator)
    if (link := world.simulator.find_link(first, second)) is None:
        raise Refused(f"{what}: there is no link between {first.name} and {second.name}",
                      did_you_mean(second.name, (n.node.name for m in first.ports for n in m.lanlink.members if n.node is not first)))
    return link
