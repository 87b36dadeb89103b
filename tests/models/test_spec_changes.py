"""The steps from one spec to another: applied, they give the other; what is in none of them is the same in both."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from models.routes import Routing
from models.spec import Event, Lan, Member, Node, ProgramAgent, Sequence, Shaping, Spec
from models.spec_changes import FILES_OF, STARTED_WITH, Changes, changes, network_of

NAMES = ("a", "b", "c", "d", "e")
LANS = ("wire", "wall", "ring")


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Up to five nodes on up to three LANs; addresses by node and LAN, now and then from another network."""
    names = draw(st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
    nodes = tuple(Node(name=name, image=draw(st.sampled_from(["host", "/other"])), cpus=draw(st.sampled_from([None, 1.0])),
                       kind=draw(st.sampled_from(["container", "container", "vm"])), failure=draw(st.sampled_from(["fatal", "restart"])),
                       routing=draw(st.sampled_from(["static", "none"]))) for name in names)
    lans = []
    for index, lan in enumerate(LANS):
        members = draw(st.lists(st.sampled_from(names), unique=True, max_size=len(names)))
        net, delay_s = 10 * index + draw(st.sampled_from([1, 2])), draw(st.sampled_from([0.0, 0.01]))
        if len(members) > 1:
            lans.append(Lan(name=lan, kind="lan", members=tuple(
                Member(node=node, interface=f"eth{index}", mac=f"02:00:00:00:{index:02x}:{NAMES.index(node):02x}",
                       addresses=(f"10.0.{net}.{NAMES.index(node) + 1}/24",), uplink=Shaping(delay_s=delay_s)) for node in members)))
    agents = tuple(ProgramAgent(name=f"agent-{name}", node=name, command=draw(st.sampled_from(["true", "false"]))) for name in names[:1])
    return Spec(nodes=nodes, lans=tuple(lans), agents=agents,
                sequences=(Sequence(name="s", steps=tuple(Event(target=agent.name, verb="run") for agent in agents)),))


@given(specs())
def test_no_change_is_no_step(spec: Spec) -> None:
    assert changes(spec, spec).none and changes(spec, spec).sentences() == []


@settings(max_examples=200)
@given(specs(), specs())
def test_steps_lead_from_one_to_the_other_and_touch_nothing_else(old: Spec, new: Spec) -> None:
    found = changes(old, new)
    lists = [found.added, found.removed, found.remade, found.restarted, found.rewired]
    assert sum(map(len, lists)) == len({name for names in lists for name in names}), "a node is in one of them at most"
    before, after = {node.name for node in old.nodes}, {node.name for node in new.nodes}
    assert (before - set(found.removed)) | set(found.added) == after
    lans = {lan.name for lan in old.lans}
    assert (lans - set(found.lans_removed)) | set(found.lans_added) == {lan.name for lan in new.lans}
    of_old, of_new = Routing(old), Routing(new)
    for name in after - {name for names in lists for name in names}:
        a, b = old.node(name), new.node(name)
        assert [getattr(a, field) for field in (*FILES_OF, *STARTED_WITH)] == [getattr(b, field) for field in (*FILES_OF, *STARTED_WITH)]
        assert network_of(old, of_old, name) == network_of(new, of_new, name)
    assert not found.none or (_by_name(old), old.agents) == (_by_name(new), new.agents)


def _by_name(spec: Spec) -> dict[str, dict]:
    """Of nodes without how they route, which shows in their routes if it matters."""
    return {part.name: part.model_dump(exclude={"routing"}) for part in (*spec.nodes, *spec.lans)}


@given(specs(), specs())
def test_the_way_back_is_the_way_there(old: Spec, new: Spec) -> None:
    there, back = changes(old, new), changes(new, old)
    assert (set(there.added), set(there.removed)) == (set(back.removed), set(back.added))
    assert set(there.lans_changed) == set(back.lans_changed) and there.conducted == back.conducted


def test_another_shape_of_a_link_touches_no_node() -> None:
    members = tuple(Member(node=name, interface="eth0", mac=f"02:00:00:00:00:0{index}", addresses=(f"10.0.0.{index}/24",))
                    for index, name in enumerate(("a", "b"), 1))
    old = Spec(nodes=(Node(name="a"), Node(name="b")), lans=(Lan(name="wire", members=members),))
    slower = tuple(member.model_copy(update={"uplink": Shaping(delay_s=0.2)}) for member in members)
    new = old.model_copy(update={"lans": (Lan(name="wire", members=slower),)})
    assert changes(old, new) == Changes(lans_changed=("wire",))
