"""A pipe against an independent event-by-event simulation, and against itself saved and restored."""

from __future__ import annotations

import struct
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from models.protocol.wires import PipeState
from models.spec import Queue, Red, Shaping
from nodeops.wires import pipe as pipe_module
from nodeops.wires.frames import PLAIN
from nodeops.wires.pipe import Pipe
from nodeops.wires.randomness import Uniforms
from tests.nodeops.wires.reference_pipe import ReferencePipe

SEED = 7
REDS = st.builds(Red, min_threshold=st.sampled_from([0.5, 1, 2.5, 5]), max_threshold=st.sampled_from([3, 6, 15]),
                 mean_packet_size_bytes=st.sampled_from([100, 500, 1000]), weight=st.sampled_from([0.002, 0.1, 0.5, 1]),
                 linear_term=st.sampled_from([1.5, 10, 50]), gentle=st.booleans(), wait=st.booleans(), byte_mode=st.booleans())
QUEUES = st.one_of(
    st.builds(Queue, discipline=st.sampled_from(["droptail", "red"]), limit=st.integers(1, 12), unit=st.just("packets"), red=REDS),
    st.builds(Queue, discipline=st.sampled_from(["droptail", "red"]), limit=st.integers(100, 9000), unit=st.just("bytes"), red=REDS))
SHAPINGS = st.builds(Shaping, bandwidth_bps=st.sampled_from([0, 64_000, 999_983, 1_000_000, 7_777_777, 10**9]),
                     delay_s=st.sampled_from([0, 1e-9, 0.0005, 0.003]), jitter_s=st.sampled_from([0, 0, 0.0004, 0.002]),
                     jitter_distribution=st.sampled_from(["uniform", "normal", "pareto"]), loss=st.sampled_from([0, 0, 0.1, 1]),
                     queue=QUEUES)
GAPS = st.one_of(st.just(0), st.integers(0, 5), st.integers(0, 400_000), st.integers(0, 30_000_000))
SIZES = st.one_of(st.sampled_from([60, 1514]), st.integers(60, 1514))
STEPS = st.lists(st.tuples(GAPS, st.one_of(SIZES, SIZES, SIZES, SIZES, SHAPINGS, st.booleans())), min_size=1, max_size=60)
FOREVER = 10**15


def frame(number: int, size: int) -> bytes:
    return PLAIN + struct.pack(">I", number) + bytes(size - 4)


def number(data: bytes) -> int:
    return struct.unpack_from(">I", data, len(PLAIN))[0]


def apply(pipe: Pipe, now: int, index: int, step: int | bool | Shaping) -> list[tuple[int, int]]:
    """One step after everything due by then has left; returns what left."""
    left = [(due, number(data)) for due, data, _, _ in pipe.leave(now)]
    if isinstance(step, bool):
        pipe.up = step
    elif isinstance(step, int):
        pipe.enter([(now, frame(index, step), step, 1)])
    else:
        pipe.change(now, step)
    return left


@settings(max_examples=400, deadline=None)
@given(SHAPINGS, STEPS)
def test_departures_and_drops_are_those_of_the_reference(shaping, steps):
    pipe, reference = Pipe(shaping, SEED), ReferencePipe(shaping, Uniforms(SEED))
    now, left = 0, []
    for index, (gap, step) in enumerate(steps):
        now += gap
        left += apply(pipe, now, index, step)
        if isinstance(step, bool):
            reference.up = step
        elif isinstance(step, int):
            reference.frame(now, index, step)
        else:
            reference.change(now, step)
    left += [(due, number(data)) for due, data, _, _ in pipe.leave(FOREVER)]
    reference.advance(FOREVER)
    assert left == reference.departures
    tally = pipe.tally()
    assert (tally.dropped_queue, tally.dropped_red, tally.dropped_loss, tally.dropped_down) == tuple(
        len(reference.drops[cause]) for cause in ("queue", "red", "loss", "down"))


@settings(max_examples=300, deadline=None)
@given(SHAPINGS, STEPS, st.data())
def test_a_pipe_restored_at_another_time_goes_on_as_if_never_stopped(shaping, steps, data):
    cut, away = data.draw(st.integers(0, len(steps) - 1)), data.draw(st.integers(-10**12, 10**12))
    pause = data.draw(st.integers(0, max(0, steps[cut][0])))
    whole, part = Pipe(shaping, SEED), Pipe(shaping, SEED)
    now, shift, expected, seen = 0, 0, [], []
    for index, (gap, step) in enumerate(steps):
        if index == cut:
            instant = now + pause
            seen += [(due, number(f)) for due, f, _, _ in part.leave(instant)]
            state = PipeState.model_validate_json(part.save(instant).model_dump_json())
            shift = away
            part = Pipe.restore(state, instant + shift)
            assert part.save(instant + shift) == state
        now += gap
        expected += apply(whole, now, index, step)
        seen += [(due - shift, n) for due, n in apply(part, now + shift, index, step)]
    expected += [(due, number(f)) for due, f, _, _ in whole.leave(FOREVER)]
    seen += [(due - shift, number(f)) for due, f, _, _ in part.leave(FOREVER)]
    assert seen == expected
    assert part.tally() == whole.tally()


@settings(max_examples=200, deadline=None)
@given(SHAPINGS, STEPS)
def test_nothing_appears_and_nothing_vanishes(shaping, steps):
    pipe, now = Pipe(shaping, SEED), 0
    for index, (gap, step) in enumerate(steps):
        now += gap
        apply(pipe, now, index, step)
        t = pipe.tally()
        held = list(pipe.held())
        assert t.in_frames == t.out_frames + t.dropped_queue + t.dropped_red + t.dropped_loss + t.dropped_down + len(held)
        assert t.in_bytes == t.out_bytes + t.dropped_bytes + sum(size for _, _, size, _ in held)


@given(st.integers(1, 10**10), st.lists(st.integers(60, 1514), min_size=1, max_size=300))
def test_a_busy_link_does_not_drift(rate, sizes):
    pipe = Pipe(Shaping(bandwidth_bps=rate, queue=Queue(limit=1000)), SEED)
    pipe.enter([(0, frame(i, size), size, 1) for i, size in enumerate(sizes)])
    assert [due for due, *_ in pipe.held()] == [sum(sizes[:i + 1]) * 8 * 10**9 // rate for i in range(len(sizes))]


@given(st.integers(1000, 10**9), st.integers(0, 3), st.lists(st.tuples(st.integers(0, 10**6), SIZES), min_size=1, max_size=50))
def test_two_halves_of_a_link_cost_one_transmission(rate, wider, arrivals):
    """The second half passes bits on as they come: with the same or more bandwidth it adds only its delay."""
    first = Pipe(Shaping(bandwidth_bps=rate, delay_s=0.002, queue=Queue(limit=1000)), SEED)
    second = Pipe(Shaping(bandwidth_bps=rate * (1 + wider), delay_s=0.003), SEED)
    second.change(0, second.shaping, fed_bps=rate)
    now = 0
    for index, (gap, size) in enumerate(arrivals):
        now += gap
        first.enter([(now, frame(index, size), size, 1)])
    sent = first.leave(FOREVER)
    second.enter(sent)
    assert [due for due, *_ in second.held()] == [due + 3_000_000 for due, *_ in sent]


@given(st.integers(1000, 10**8), st.integers(2, 5), st.lists(SIZES, min_size=1, max_size=50))
def test_the_narrower_second_half_sets_the_rate(rate, wider, sizes):
    first = Pipe(Shaping(bandwidth_bps=rate * wider, queue=Queue(limit=1000)), SEED)
    second = Pipe(Shaping(bandwidth_bps=rate, queue=Queue(limit=1000)), SEED)
    second.change(0, second.shaping, fed_bps=rate * wider)
    first.enter([(0, frame(i, size), size, 1) for i, size in enumerate(sizes)])
    second.enter(first.leave(FOREVER))
    ends = [due for due, *_ in second.held()]
    ideal = [sum(sizes[:i + 1]) * 8 * 10**9 // rate for i in range(len(sizes))]
    assert all(abs(end - wanted) <= 1 + i for i, (end, wanted) in enumerate(zip(ends, ideal, strict=True)))


def test_jitter_has_the_distribution_that_was_asked_for():
    for distribution, spread in (("uniform", 0.577), ("normal", 1.0), ("pareto", 1.0)):
        pipe = Pipe(Shaping(delay_s=0.1, jitter_s=0.001, jitter_distribution=distribution), SEED)
        lateness = []
        for index in range(20_000):
            now = index * 10**9
            pipe.enter([(now, frame(index, 60), 60, 1)])
            lateness.append((pipe.leave(now + 10**9 - 1)[0][0] - now - 100_000_000) / 1e6)
        mean = sum(lateness) / len(lateness)
        deviation = (sum((x - mean) ** 2 for x in lateness) / len(lateness)) ** 0.5
        assert abs(mean) < 0.05
        assert abs(deviation - spread) < 0.15 * spread


def test_loss_is_the_fraction_that_was_asked_for():
    pipe = Pipe(Shaping(loss=0.2), SEED)
    pipe.enter([(0, frame(i, 60), 60, 1) for i in range(50_000)])
    assert abs(pipe.tally().dropped_loss / 50_000 - 0.2) < 0.006


def test_lateness_and_rate_are_measured_from_real_departures():
    pipe = Pipe(Shaping(bandwidth_bps=8_000_000, queue=Queue(limit=1000)), SEED)
    pipe.enter([(0, frame(i, 1000), 1000, 1) for i in range(100)])
    for late in range(100):
        pipe.leave((late + 1) * 1_000_000 + 100_000)
    saved = pipe.punctuality.save()
    assert saved.histogram == {100_000 // 8192: 100}
    assert (saved.total_ns, saved.worst_ns) == (100 * 100_000, 100_000)
    assert saved.paced_bytes * 8 * 10**9 / saved.paced_ns == 8_000_000


@settings(max_examples=60, deadline=None)
@given(REDS, st.sampled_from(["packets", "bytes"]), st.integers(0, 2**32), st.floats(0.6, 2.5))
def test_red_drops_whom_ns2_would_under_load(red, unit, seed, load):
    """300 frames at `load` times what the link carries, with pauses: enough for the average to pass every threshold."""
    rate = 1_000_000
    shaping = Shaping(bandwidth_bps=rate, queue=Queue(discipline="red", limit=40 if unit == "packets" else 20_000, unit=unit, red=red))
    pipe, reference, random = Pipe(shaping, SEED), ReferencePipe(shaping, Uniforms(SEED)), Random(seed)
    now = 0
    for index in range(300):
        size = random.choice([60, 400, 1000])
        now += round(random.expovariate(load) * 487 * 8000) + (random.random() < 0.02) * 60_000_000
        pipe.enter([(now, frame(index, size), size, 1)])
        reference.frame(now, index, size)
    reference.advance(FOREVER)
    assert [number(data) for _, data, _, _ in pipe.leave(FOREVER)] == [n for _, n in reference.departures]
    assert pipe.tally().dropped_red == len(reference.drops["red"])


def test_red_marks_what_is_ecn_capable_instead_of_dropping():
    ethernet = bytes(12) + b"\x08\x00"
    ip = bytearray(bytes.fromhex("450203e80000400040110000") + bytes([10, 0, 0, 1, 10, 0, 0, 2]))
    red = Red(min_threshold=1, max_threshold=50, weight=0.5, linear_term=1.5, mark=True)
    pipe = Pipe(Shaping(bandwidth_bps=1_000_000, queue=Queue(discipline="red", limit=60, red=red)), SEED)
    data = PLAIN + ethernet + bytes(ip) + bytes(980)
    pipe.enter([(0, data, len(data) - 10, 1)] * 40)
    tally = pipe.tally()
    assert tally.marked > 0
    assert tally.dropped_red == 0
    marked = [f for _, f, _, _ in pipe.leave(FOREVER) if f != data]
    assert len(marked) == tally.marked
    assert all(f[10 + 14 + 1] & 3 == 3 and int.from_bytes(f[24:44], "big") % 65535 == 0 for f in marked)


def test_what_a_pipe_holds_is_bounded(monkeypatch):
    monkeypatch.setattr(pipe_module, "HELD_FRAMES", 10)
    pipe = Pipe(Shaping(delay_s=60), SEED)
    for index in range(20):
        pipe.enter([(index, frame(index, 60), 60, 1)])
    assert len(list(pipe.held())) == 10
    assert pipe.tally().dropped_queue == 10
