"""Who gets which address, interface and MAC."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from languages.addresses import DeclaredLan, DeclaredMember, assign
from models.spec import Inconsistent, Node, Spec


def member(node: str, *addresses: str, **more: str) -> DeclaredMember:
    return DeclaredMember(node, addresses=addresses, **more)


def lan(name: str, *members: DeclaredMember | str, **more) -> DeclaredLan:
    return DeclaredLan(name, tuple(m if isinstance(m, DeclaredMember) else member(m) for m in members), **{"kind": "lan", **more})


def addresses(*lans: DeclaredLan) -> list[list[str]]:
    return [[a for m in made.members for a in m.addresses] for made in assign(lans)]


def test_networks_count_up_in_the_order_of_declaration() -> None:
    assert addresses(lan("x", "a", "b"), lan("y", "a", "b", "c")) == [["10.1.1.2/24", "10.1.1.3/24"],
                                                                     ["10.1.2.2/24", "10.1.2.3/24", "10.1.2.4/24"]]


def test_emulabs_mixture_of_explicit_and_counted() -> None:
    """The facts of conformance case 04: only LANs without addresses of their own count, others number within theirs."""
    assert addresses(
        lan("first", member("a", "192.168.4.17"), member("b", "192.168.4.18")), lan("second", "a", "b"),
        lan("third", "b", member("c", "10.77.0.9")), lan("common", "a", "b", member("c", "172.16.9.40"), mask="255.255.255.128"),
    ) == [["192.168.4.17/24", "192.168.4.18/24"], ["10.1.1.2/24", "10.1.1.3/24"], ["10.77.0.2/24", "10.77.0.9/24"],
          ["172.16.9.2/25", "172.16.9.3/25", "172.16.9.40/25"]]


def test_explicit_networks_and_addresses_are_kept_out_of_the_pool() -> None:
    assert addresses(lan("x", "a"), lan("y", member("a", "10.1.1.7")), lan("z", "a", networks=("10.1.2.0/23",)), lan("w", "a")) == [
        ["10.1.4.2/24"], ["10.1.1.7/24"], ["10.1.2.2/23"], ["10.1.5.2/24"]]


def test_an_address_that_is_taken_is_skipped() -> None:
    assert addresses(lan("x", "a", member("b", "10.1.1.2"), "c")) == [["10.1.1.3/24", "10.1.1.2/24", "10.1.1.4/24"]]


def test_large_lans_get_a_shorter_prefix() -> None:
    fits, over = assign([lan("x", *(f"n{i}" for i in range(253))), lan("y", *(f"n{i}" for i in range(254)))])
    assert fits.members[-1].addresses == ("10.1.1.254/24",)
    assert over.members[0].addresses == ("10.1.2.2/23",) and over.members[-1].addresses == ("10.1.2.255/23",)
    thousand = assign([lan("z", *(f"n{i}" for i in range(1000)))])[0]
    assert ipaddress.ip_interface(thousand.members[-1].addresses[0]).network.prefixlen == 22


def test_both_families() -> None:
    assert addresses(lan("x", "a", "b", families=(4, 6)), lan("y", "a", families=(6,)), lan("z", "a", families=())) == [
        ["10.1.1.2/24", "fd00:0:0:1::2/64", "10.1.1.3/24", "fd00:0:0:1::3/64"], ["fd00:0:0:2::2/64"], []]


def test_only_the_families_asked_for_are_counted_out() -> None:
    assert addresses(lan("x", member("a", "2001:db8::1/64"), "b")) == [["2001:db8::1/64", "10.1.1.2/24", "10.1.1.3/24"]]


def test_point_to_point_networks_use_what_they_have() -> None:
    assert addresses(lan("x", "a", "b", networks=("10.9.0.0/30",)), lan("y", "a", "b", networks=("10.9.0.4/31",)),
                     lan("z", "a", "b", networks=("fd00:9::/127",), families=())) == [
        ["10.9.0.1/30", "10.9.0.2/30"], ["10.9.0.4/31", "10.9.0.5/31"], ["fd00:9::/127", "fd00:9::1/127"]]


def test_interfaces_count_per_node_around_explicit_ones() -> None:
    made = assign([lan("x", "a", "b"), lan("y", "a", member("b", interface="eth2")), lan("z", member("a", interface="wan0"), "b")])
    assert [[m.interface for m in one.members] for one in made] == [["eth1", "eth1"], ["eth2", "eth2"], ["wan0", "eth3"]]


def test_macs_are_legible_unique_and_respected() -> None:
    made = assign([lan("x", "a", member("b", mac="02:00:0A:01:01:02")), lan("y", "a", families=())])
    assert [m.mac for m in made[0].members] == [made[0].members[0].mac, "02:00:0a:01:01:02"]
    assert made[0].members[0].mac.startswith("02:01:"), "the legible one was taken"
    assert assign([lan("x", "a")])[0].members[0].mac == "02:00:0a:01:01:02"
    assert made[1].members[0].mac.startswith("02:01:")


@pytest.mark.parametrize(("declared", "message", "about"), [
    (lan("x", member("a", "10.1.1.300")), "'10.1.1.300' is not an IP address: expected for example 10.1.1.2/24", ("x", "a")),
    (lan("x", "a", mask="255.255.0.255"), "'255.255.0.255' is not an IPv4 network mask", ("x",)),
    (lan("x", "a", mask="24"), "is not an IPv4 network mask", ("x",)),
    (lan("x", "a", mask="0.0.0.255"), "is not an IPv4 network mask", ("x",)),
    (lan("x", "a", networks=("10.1.1.1/24",)), "'10.1.1.1/24' is not a network", ("x",)),
    (lan("x", "a", "b", "c", networks=("10.9.0.0/30",)), "network 10.9.0.0/30 has no address left for 'c'", ("x", "c")),
])
def test_what_cannot_be_numbered_is_refused_naming_the_part(declared: DeclaredLan, message: str, about: tuple) -> None:
    with pytest.raises(Inconsistent) as error:
        assign([declared])
    assert message in str(error.value) and error.value.about == about


@st.composite
def declarations(draw: st.DrawFn) -> list[DeclaredLan]:
    lans = []
    for number in range(draw(st.integers(1, 8))):
        nodes = draw(st.lists(st.sampled_from([f"n{i}" for i in range(12)]), min_size=1, max_size=6, unique=True))
        explicit = draw(st.sampled_from([None, None, f"10.1.{number}.{draw(st.integers(1, 200))}", f"172.16.{number}.9/25"]))
        members = [member(n, explicit) if explicit and i == 0 else member(n) for i, n in enumerate(nodes)]
        lans.append(lan(f"lan{number}", *members, families=draw(st.sampled_from([(4,), (6,), (4, 6)]))))
    return lans


@given(declarations())
@settings(max_examples=150, deadline=None)
def test_whatever_is_declared_makes_a_consistent_spec_and_the_same_each_time(lans: list[DeclaredLan]) -> None:
    """`Spec` itself checks that no address, network, MAC or interface is used twice."""
    names = sorted({m.node for one in lans for m in one.members})
    made = assign(lans)
    Spec(nodes=tuple(Node(name=n) for n in names), lans=made)
    assert made == assign(lans)
    for declared, one in zip(lans, made, strict=True):
        for wanted, got in zip(declared.members, one.members, strict=True):
            assert {ipaddress.ip_interface(a).version for a in got.addresses} >= set(declared.families)
            assert all(any(a.split("/")[0] == g.split("/")[0] for g in got.addresses) for a in wanted.addresses)


def test_thousands_of_links_are_numbered_quickly() -> None:
    made = assign([lan(f"l{i}", "hub", f"n{i}", kind="link") for i in range(5000)])
    assert made[-1].members[1].addresses == ("10.20.136.3/24",)
