"""A guest's network as a script for its initramfs (busybox): what `nodeops.node_network` tells the kernel for a container."""

from __future__ import annotations

from collections.abc import Iterator

from nodeops.node_network import NetworkPlan

FUNCTIONS = """\
set_() { [ ! -e /proc/sys/net/$1 ] || echo $2 >/proc/sys/net/$1; }
called() {
    for device in /sys/class/net/*; do
        [ "$(cat $device/address)" = $1 ] || continue
        ip link set ${device##*/} name $2
    done
}
"""


def script(plan: NetworkPlan) -> str:
    """Pure. Interfaces are told by their MAC addresses, and moved out of each other's names first."""
    return FUNCTIONS + "".join(f"{line}\n" for line in _lines(plan))


def _lines(plan: NetworkPlan) -> Iterator[str]:
    yield f"hostname {plan.node}"
    for name, value in (("ipv4/ip_forward", int(plan.forwards)), ("ipv4/conf/all/rp_filter", 0), ("ipv4/conf/default/rp_filter", 0),
                        ("ipv6/conf/default/accept_dad", 0), ("ipv6/conf/default/accept_ra", 0),
                        ("ipv6/conf/default/router_solicitations", 0),
                        ("ipv6/conf/all/forwarding", int(plan.forwards and any(each.speaks_ipv6 for each in plan.interfaces)))):
        yield f"set_ {name} {value}"
    yield "ip link set lo up"
    for number, interface in enumerate(plan.interfaces):
        yield f"called {interface.mac} swapbed{number}"
    for number, interface in enumerate(plan.interfaces):
        name = interface.name
        yield f"ip link set swapbed{number} name {name}"
        for setting in ("accept_dad", "accept_ra", "router_solicitations"):
            yield f"set_ ipv6/conf/{name}/{setting} 0"
        if not interface.speaks_ipv6:
            yield f"set_ ipv6/conf/{name}/addr_gen_mode 1"
        for address in interface.addresses:
            yield f"ip addr add {address} dev {name}"
        yield f"ip link set {name} up"
    for route in plan.routes:
        yield f"ip {'-6 ' if ':' in route.destination else ''}route add {route.destination} via {route.via} dev {route.interface}"
