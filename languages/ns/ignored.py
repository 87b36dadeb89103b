"""Commands of Emulab that mean nothing here: accepted, so that old files still run, with one warning that says what is ignored."""

from __future__ import annotations

import re

_PLACEMENT = "which of Emulab's machines a node gets; nodes are placed on your hosts"
_SHAPER = "how Emulab shapes links; here the wires shape all of them"
_FLOOR = "how Emulab packs virtual nodes and links on its machines"
_WIDE = "wide-area and PlanetLab nodes do not exist here"
_ELAB = "an Emulab inside Emulab does not exist here"
_WIRELESS = "wireless LANs and link protocols; links and LANs are Ethernet"
_ESTIMATE = "hints for Emulab's placement; the bandwidth itself counts"
_OML = "OML measurement servers do not exist here; records keep logs and archive"
_BOOT = "how Emulab boots and loads its machines' disks"

IGNORED_COMMANDS: dict[str, str] = {
    **dict.fromkeys(
        (
            "tb-fix-node",
            "tb-bind-parent",
            "tb-fix-interface",
            "tb-fix-current-resources",
            "tb-use-physnaming",
            "tb-add-node-attribute",
            "tb-make-soft-vtype",
            "tb-make-hard-vtype",
            "tb-make-weighted-vtype",
        ),
        _PLACEMENT,
    ),
    **dict.fromkeys(
        ("tb-use-endnodeshaping", "tb-force-endnodeshaping", "tb-set-endnodeshaping", "tb-set-delay-os", "tb-set-delay-capacity"), _SHAPER
    ),
    **dict.fromkeys(
        (
            "tb-set-multiplexed",
            "tb-set-useveth",
            "tb-set-link-encap",
            "tb-set-encapsulate",
            "tb-set-vlink-emulation",
            "tb-set-allowcolocate",
            "tb-set-colocate-factor",
            "tb-set-node-usesharednode",
            "tb-set-node-sharingmode",
            "tb-set-mem-usage",
            "tb-set-cpu-usage",
            "tb-set-jail-os",
            "tb-set-sim-os",
        ),
        _FLOOR,
    ),
    **dict.fromkeys(
        ("tb-set-uselatestwadata", "tb-set-usewatunnels", "tb-set-wasolver-weights", "tb-set-node-plab-role", "tb-set-node-plab-plcnet"),
        _WIDE,
    ),
    **dict.fromkeys(
        (
            "tb-elab-in-elab",
            "tb-elab-in-elab-topology",
            "tb-set-inner-elab-eid",
            "tb-set-elabinelab-cvstag",
            "tb-elabinelab-singlenet",
            "tb-set-elabinelab-attribute",
            "tb-unset-elabinelab-attribute",
            "tb-set-elabinelab-role-attribute",
            "tb-unset-elabinelab-role-attribute",
            "tb-get-elabinelab-role-attribute",
            "tb-set-elabinelab-fw-type",
            "tb-set-node-inner-elab-role",
        ),
        _ELAB,
    ),
    **dict.fromkeys(
        (
            "tb-set-lan-protocol",
            "tb-set-link-protocol",
            "tb-set-lan-accesspoint",
            "tb-set-lan-setting",
            "tb-set-node-lan-setting",
            "tb-set-link-layer",
            "tb-set-switch-fabric",
        ),
        _WIRELESS,
    ),
    **dict.fromkeys(
        (
            "tb-set-link-est-bandwidth",
            "tb-set-lan-est-bandwidth",
            "tb-set-node-lan-est-bandwidth",
            "tb-set-link-backfill",
            "tb-set-link-simplex-backfill",
            "tb-set-lan-backfill",
            "tb-set-node-lan-backfill",
            "tb-set-lan-simplex-backfill",
            "tb-feedback-vnode",
            "tb-feedback-vlan",
            "tb-feedback-vlink",
        ),
        _ESTIMATE,
    ),
    **dict.fromkeys(("tb-set-use-oml", "tb-set-oml-server", "tb-set-oml-mp", "tb-set-oml-use-control"), _OML),
    **dict.fromkeys(
        ("tb-set-node-cmdline", "tb-set-node-loadlist", "tb-set-node-deltas", "tb-set-node-service", "tb-add-node-service-hook"), _BOOT
    ),
    **dict.fromkeys(("tb-use-modelnet", "tb-set-modelnet-physnodes"), "ModelNet's core routers; the wires carry all links"),
    **dict.fromkeys(("tb-use-ipassign", "tb-set-ipassign-args"), "Emulab's hierarchical addresses; LANs are numbered 10.1.N.0/24 in turn"),
    "tb-set-link-failure-action": "a link cannot fail to be made alone: the instance is made whole or not at all",
    "tb-set-security-level": "firewalls of Emulab; nodes reach the outside only if asked for",
    "tb-set-node-routable-ip": "public addresses; nodes reach the outside only if asked for",
    "tb-set-node-id": "sensor nodes' numbers",
    "tb-set-dpdb": "a database of the experiment; the record keeps its results",
    "tbx-log": "Emulab's experimental log",
}

IGNORED_CLASSES: dict[str, str] = {
    "Firewall": "firewalls of Emulab; nodes reach the outside only if asked for",
    "Topography": "robots and wireless nodes do not exist here",
    "Path": "links made of links do not exist here",
    "RandomVariable/Uniform": "ns-2's random variables; use Tcl's expr rand()",
    "RandomVariable/Exponential": "ns-2's random variables; use Tcl's expr rand()",
    "RNG": "ns-2's random generators; use Tcl's expr rand()",
}

STANDARD_IMAGE = re.compile(r".*-STD(-.*)?")  # names of the images that Emulab itself provides

CLASS_DEFAULTS = "ns-2's defaults of a class; set the variable on each object"
