"""Timers of every kind run as long as they were to: none rings early. And what is changed in CRIU's images for that."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from nodeops.checkpoint.images import fields, having, within, written
from nodeops.checkpoint.spool import Spool
from nodeops.checkpoint.timers import beside, of_file, of_process
from tests.nodeops.checkpoint.test_swap import start, swap_in, swap_out
from tests.nodeops.instances import Make, lan_spec, wait_until

RUNS_S = 5
PROGRAM = f"""
import ctypes, json, os, select, signal, struct, time
libc = ctypes.CDLL(None)
def spec(value_s): return struct.pack('4q', 0, 0, int(value_s), int(value_s % 1 * 1e9))
due, late = time.monotonic() + {RUNS_S}, {{}}
def rings(name): late.setdefault(name, time.monotonic() - due)
signal.signal(signal.SIGALRM, lambda *_: rings('setitimer')); signal.signal(signal.SIGUSR1, lambda *_: rings('timer_create'))
files = {{libc.timerfd_create(1, 0): name for name in ('timerfd', 'timerfd of an instant', 'never set')}}
one, other, _ = files
timer = ctypes.c_void_p()
libc.timer_create(1, struct.pack('Qii48x', 0, signal.SIGUSR1, 0), ctypes.byref(timer))
left = due - time.monotonic()
signal.setitimer(signal.ITIMER_REAL, left)
libc.timer_settime(timer, 0, spec(left), None)
libc.timerfd_settime(one, 0, spec(left), None)
libc.timerfd_settime(other, 1, spec(due), None)
open('/set', 'w').close()
while len(late) < 4:
    for file in select.select(list(files), [], [], .01)[0]:
        rings(files[file])
json.dump(late, open('/new', 'w')); os.rename('/new', '/late')
"""
values = st.integers(0, 2**64 - 1)
parts_of_messages = st.tuples(st.integers(1, 200), st.one_of(st.tuples(st.just(0), values), st.tuples(st.just(2), st.binary(max_size=300)),
                                                            st.tuples(st.just(1), st.binary(min_size=8, max_size=8)),
                                                            st.tuples(st.just(5), st.binary(min_size=4, max_size=4))))


def test_none_rings_early(make: Make, state_dir: Path) -> None:
    layout = make(lan_spec("a"), daemons=("wires", "conductor"))
    start(layout, "a", PROGRAM)
    upper = layout.node("a").upper
    wait_until(lambda: (upper / "set").exists())
    for epoch in (0, 1):
        spool = Spool(state_dir / "spool" / f"c-{epoch}")
        swap_out(layout, spool, epoch)
        swap_in(layout, spool)
    wait_until(lambda: (upper / "late").exists())
    late = json.loads((upper / "late").read_text())
    assert set(late) == {"setitimer", "timer_create", "timerfd", "timerfd of an instant"} and min(late.values()) >= 0


@given(st.lists(parts_of_messages))
def test_a_message_that_is_not_changed_is_the_same(parts: list[tuple[int, tuple[int, int | bytes]]]) -> None:
    message = b"".join(written(number, kind, value) for number, (kind, value) in parts)
    assert list(fields(message)) == [(number, kind, value) for number, (kind, value) in parts]
    assert within(message, 1, bytes) == having(message, {}) == message


def message(**numbers: int | bytes) -> bytes:
    """f3=5: a field of number 3."""
    return b"".join(written(int(name[1:]), 2 if isinstance(value, bytes) else 0, value) for name, value in numbers.items())


@given(st.integers(0, 10**10), st.integers(0, 10**12))
def test_those_that_run_have_so_much_longer(left_ns: int, by_ns: int) -> None:
    after_ns = left_ns + by_ns if left_ns else 0
    was, now = divmod(left_ns, 10**9), divmod(after_ns, 10**9)
    posix = [message(f1=1, f2=clock, f9=was[0], f10=was[1]) for clock in (1, 2)]
    put_off = message(f1=1, f2=1, f9=now[0], f10=now[1])
    idle = message(f1=0, f2=0, f3=0, f4=0)
    core = message(f1=1, f3=message(f6=b"sh", f7=message(f1=idle, f2=idle, f3=idle) + b"".join(message(f4=one) for one in posix)))
    changed = of_process(core, by_ns)
    assert put_off in changed and posix[1] in changed, "a processor's time is the process's own"
    file = message(f1=17, f12=message(f4=1, f6=1, f7=was[0], f8=was[1]))
    assert of_file(file, by_ns) == message(f1=17, f12=message(f4=1, f6=0, f7=now[0], f8=now[1]))


def test_images_without_timers_are_not_copied(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for name in ("core-1.img", "files.img", "pages-1.img"):
        (images / name).write_bytes(b"magical!")
    made = beside(images, tmp_path / "made", 1)
    assert [(made / name).stat().st_nlink for name in ("core-1.img", "files.img", "pages-1.img")] == [1, 1, 2]
    assert (made / "files.img").read_bytes() == b"magical!"
