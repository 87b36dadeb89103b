"""CLOCK_REALTIME of container nodes across swaps: the absence is not seen, unless a node wants to see it."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from models.protocol.checkpoint import Life
from models.spec import Node
from nodeops.checkpoint.capture import capture
from nodeops.checkpoint.spool import Spool
from nodeops.instance import holding, the_record
from nodeops.layout import InstanceLayout
from tests.nodeops.checkpoint.test_swap import quiet, start, swap_in, swap_out
from tests.nodeops.instances import Make, lan_spec, run, wait_until

HOURS_NS = 5 * 3600 * 10**9
WATCH = """
import json, os, time
ahead, count = [], 0
while True:
    before, wall, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns(); count += 1
    if after - before < 200_000:
        ahead = sorted([*ahead, wall - (before + after) // 2]); ahead = [ahead[0], ahead[-1]]
    if count % 10 == 0:
        json.dump([count, *ahead], open('/watched.new', 'w')); os.rename('/watched.new', '/watched')
    time.sleep(.01)
"""
WAITS = """
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>
static struct timespec until, began;
static void say(const char *what, int looked) {
    struct timespec wall, now; char path[32]; snprintf(path, sizeof path, "/%s", what);
    clock_gettime(CLOCK_MONOTONIC, &now); clock_gettime(CLOCK_REALTIME, &wall);
    FILE *file = fopen(path, "w");
    fprintf(file, "[%d, %.3f, %.3f]", looked, now.tv_sec - began.tv_sec + (now.tv_nsec - began.tv_nsec) / 1e9,
            wall.tv_sec - until.tv_sec + (wall.tv_nsec - until.tv_nsec) / 1e9);
    fclose(file);
}
static void *in_semaphore(void *nothing) {
    sem_t never; int looked = 1; sem_init(&never, 0, 0);
    while (sem_timedwait(&never, &until) && errno == EINTR) looked++;
    say("semaphore", looked); return nothing;
}
static void *asleep(void *nothing) {
    int looked = 1;
    while (clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, 0)) looked++;
    say("sleep", looked); return nothing;
}
int main(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; pthread_cond_t never = PTHREAD_COND_INITIALIZER;
    pthread_t threads[2]; int looked = 1;
    clock_gettime(CLOCK_MONOTONIC, &began); clock_gettime(CLOCK_REALTIME, &until); until.tv_sec += 4;
    pthread_create(&threads[0], 0, in_semaphore, 0); pthread_create(&threads[1], 0, asleep, 0);
    pthread_mutex_lock(&mutex);
    while (pthread_cond_timedwait(&never, &mutex, &until) != ETIMEDOUT) looked++;
    say("condition", looked);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], 0);
}
"""


def watched(layout: InstanceLayout, node: str) -> tuple[int, int]:
    """How often it has looked, and how far the difference between its wall clock and CLOCK_MONOTONIC has gone."""
    path = layout.node(node).upper / "watched"
    count, lowest, highest = json.loads(path.read_text()) if path.exists() else (0, 0, 0)
    return count, highest - lowest


def assert_looks_on(layout: InstanceLayout) -> None:
    for node in ("a", "b"):
        before, _ = watched(layout, node)
        wait_until(lambda node=node, before=before: watched(layout, node)[0] > before + 20)  # type: ignore[misc]


def behind_s(layout: InstanceLayout, node: str) -> float:
    return time.time() - float(run(layout, node, "date +%s.%N").stdout)


@pytest.mark.timeout(120)
def test_the_absence_is_not_seen_unless_a_node_wants_to(make: Make, state_dir: Path) -> None:
    spec = lan_spec("a", "b", nodes={"b": Node(name="b", virtual_wall_clock=False)})
    layout, spool = make(spec, daemons=("wires",)), Spool(state_dir / "spool" / "c-1")
    for node in ("a", "b"):
        start(layout, node, WATCH)
    assert_looks_on(layout)
    with holding(layout, 1):
        capture(layout, Spool(state_dir / "spool" / "c-0"), Life(incarnation="test", epoch=0), quiet, live=True)
    assert_looks_on(layout)
    assert the_record(layout).wall_shift_ns == 0, "a live checkpoint leaves it alone"
    for epoch, absence_ns in enumerate((0, HOURS_NS), 1):
        before_ns = the_record(layout).wall_shift_ns
        swap_out(layout, spool, epoch)
        time.sleep(1)
        manifest = spool.read()
        assert manifest.wall_ns is not None
        spool.manifest.write_text(manifest.model_copy(update={"wall_ns": manifest.wall_ns - absence_ns}).model_dump_json())
        swap_in(layout, spool)
        assert before_ns - the_record(layout).wall_shift_ns > 10**9 + absence_ns
        assert_looks_on(layout)
        assert watched(layout, "b")[1] > 10**9 and abs(behind_s(layout, "b")) < 5
        assert abs(behind_s(layout, "a") + the_record(layout).wall_shift_ns / 1e9) < 5
        if not absence_ns:
            assert watched(layout, "a")[1] < 5_000_000
        shutil.rmtree(spool.root)
    assert abs(watched(layout, "a")[1] - HOURS_NS) < 5_000_000, "its program sees exactly the step that the edited checkpoint has"


@pytest.mark.timeout(60)
def test_who_waits_for_an_instant_waits_for_it_in_the_nodes_time(make: Make, state_dir: Path, tmp_path: Path) -> None:
    """However long the node was away, and nobody looks again and again."""
    layout, spool = make(lan_spec("a", "b"), daemons=("wires",)), Spool(state_dir / "spool" / "c-1")
    program = tmp_path / "waits"
    subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Werror", "-xc", "-", "-o", program], input=WAITS.encode(), check=True)
    run(layout, "a", "cat > /waits && chmod +x /waits", stdin=program.read_bytes())
    run(layout, "a", "trap '' HUP; /waits > /out 2>&1 < /dev/null &")
    swap_out(layout, spool)
    time.sleep(4)
    swap_in(layout, spool)
    for name in ("condition", "semaphore", "sleep"):
        said = layout.node("a").upper / name
        wait_until(lambda said=said: said.exists() and said.read_text().endswith("]"))  # type: ignore[misc]
        looked, waited_s, after_s = json.loads(said.read_text())
        assert looked <= 4 and waited_s > 3.99 and 0 <= after_s < 3, (name, looked, waited_s, after_s)
