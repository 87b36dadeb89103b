"""Properties of what numbers and names mean, and of the order in which networks are given out."""

from __future__ import annotations

import ipaddress
import tkinter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from languages.ns import quantities, script
from languages.ns.networks import TclArray, choose, emulab_order
from languages.ns.quantities import DELAYS_MS, RATES_KBPS
from languages.ns.refusal import Refused

numbers = st.decimals(min_value=0, max_value=10**6, places=3)
names = st.text("abcdefghijklmnopqrstuvwxyz-0123456789ABC", min_size=1, max_size=12)


@given(st.integers(10, 10**8), st.sampled_from(sorted(RATES_KBPS)), st.sampled_from(["", " "]))
def test_whole_rates_are_exact_in_every_unit(kbps, unit, space):
    amount = kbps / RATES_KBPS[unit]
    whole = quantities.rate_kbps(f"{amount:f}{space}{unit}")
    assert (whole.value, whole.cut) == (kbps, False)


@given(numbers, st.sampled_from(sorted(DELAYS_MS)))
def test_delays_are_cut_to_whole_milliseconds_and_say_so(amount, unit):
    exact = amount * DELAYS_MS[unit]
    if 0 < exact < 1:
        with pytest.raises(Refused):
            quantities.delay_ms(f"{amount}{unit}")
    else:
        whole = quantities.delay_ms(f"{amount}{unit}")
        assert whole.value <= exact < whole.value + 1
        assert whole.cut == (whole.value != exact)


@given(st.integers(0, 999), st.integers(0, 999), st.integers(0, 999))
def test_times_of_hours_minutes_and_seconds(hours, minutes, seconds):
    assert quantities.seconds(f"{hours}h{minutes}m{seconds}s") == hours * 3600 + minutes * 60 + seconds
    assert quantities.seconds(f"{minutes}m") == minutes * 60


@given(st.floats(0, 10**6, allow_nan=False))
def test_times_in_seconds_are_read_as_written(value):
    assert quantities.seconds(repr(value)) == value


@given(st.text(max_size=12))
def test_whatever_the_text_it_is_a_value_or_refused(text):
    for read in (
        quantities.seconds,
        quantities.rate_kbps,
        quantities.delay_ms,
        quantities.event_delay_s,
        quantities.loss,
        quantities.address,
        quantities.mask,
        lambda t: quantities.boolean(t, "x"),
        lambda t: quantities.integer(t, "x", 0, 9),
    ):
        try:
            read(text)
        except Refused as refused:
            assert refused.what


@given(st.ip_addresses(v=4))
def test_addresses_are_taken_as_they_are(value):
    assert quantities.address(str(value)) == str(value)
    assert quantities.dotted(quantities.integer_of(str(value))) == str(value)


@pytest.mark.parametrize("text", ["1.2.3", "1.2.3.4.5", "256.1.1.1", "1.1.1.-1", "a.b.c.d", "", "1..2.3", "０.1.1.1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Refused):
        quantities.address(text)


@given(st.lists(st.tuples(names, st.booleans()), max_size=80))
def test_the_model_of_tcls_arrays_agrees_with_tcl(operations):
    tcl = tkinter.Tcl()
    tcl.eval("array set a {}")
    model = TclArray()
    present = set()
    for name, drop in operations:
        if name in present and drop:
            present.discard(name)
            model.remove(name)
            tcl.eval(f"unset a({name})")
        elif name not in present:
            present.add(name)
            model.add(name)
            tcl.eval(f"set a({name}) 1")
    assert model.names() == list(tcl.splitlist(tcl.eval("array names a")))


@given(st.lists(names, unique=True, min_size=1, max_size=40), st.data())
def test_networks_overlap_nothing_and_hold_all_members(lans, data):
    sizes = {name: data.draw(st.integers(2, 600), name) for name in lans}
    masks = {name: data.draw(st.sampled_from([0xFFFF0000, 0xFFFFF800, 0xFFFFFF00, 0xFFFFFF80, 0xFFFFFFF8]), name)
             for name in data.draw(st.sets(st.sampled_from(lans), max_size=5))}
    fixed = {}
    for number, name in enumerate(data.draw(st.sets(st.sampled_from(lans), max_size=5))):
        fixed[name] = ipaddress.IPv4Network((f"10.{number + 1}.0.0", data.draw(st.integers(16, 28), name)))
    order = emulab_order([[f"tblan-lan{i}", name] for i, name in enumerate(lans)])
    assert sorted(order) == sorted(lans)
    chosen = choose(order, masks, sizes, fixed)
    networks = [ipaddress.IPv4Network(text) for text in chosen.values()] + list(fixed.values())
    assert chosen.keys() | fixed.keys() == set(lans)
    assert not any(a.overlaps(b) for i, a in enumerate(networks) for b in networks[:i])
    assert all(ipaddress.IPv4Network(chosen[name]).num_addresses - 3 >= sizes[name] for name in chosen if name not in masks)


@given(
    st.lists(
        st.sampled_from(["$a start", "$b run -command {x; y}", '$c log "p; q"', "$d set [list 1 ; list 2]", "e\\;f g", "{h\ni} j"]),
        max_size=6,
    ),
    st.sampled_from([";", "\n", " ; ", "\n# comment; with } brace\n", "\n\n"]),
)
def test_scripts_are_parted_where_tcl_parts_them(commands, separator):
    assert [command for _, command in script.commands(separator.join(commands))] == commands


def test_commands_know_their_lines():
    assert script.commands("a b\n\n# no\nc {\n  d\n}; e\\\n f\ng") == [(0, "a b"), (3, "c {\n  d\n}"), (5, "e\\\n f"), (7, "g")]


@pytest.mark.parametrize("text", ["a {b", 'a "b', "a [b", "a [b {c]"])
def test_what_is_not_closed_is_refused(text):
    with pytest.raises(Refused, match="missing close-"):
        script.commands(text)
