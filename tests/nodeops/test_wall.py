"""The wall clock that programs of a node are shown, here one that is hours behind: what reads it, and what waits for an instant of it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from models.protocol.host import ChangeNodes, InstanceStatus
from models.spec import Node
from nodeops.instance import the_record, write_record
from nodeops.layout import InstanceLayout
from nodeops.session import HostSession
from tests.nodeops.instances import Make, lan_spec, run

BEHIND_S = 5 * 3600
WAIT_MS = 150
READERS = ("date +%s", "python3 -S -c 'import time; print(time.time())'", "bash -c 'echo $EPOCHREALTIME'", "bash -c 'printf \"%(%s)T\" -1'",
           "python3 -S -c 'import time; print(time.clock_gettime(11) - 37)'", "stdbuf -oL date +%s", "cd /; exec ./clock")
CLOCK = """
#include <stdio.h>
#include <sys/time.h>
#include <time.h>
int main(void) {
    struct timespec exact, other; struct timeval day; time_t now;
    clock_gettime(CLOCK_REALTIME, &exact); clock_gettime(CLOCK_REALTIME_COARSE, &other); gettimeofday(&day, 0);
    if (exact.tv_nsec < 0 || exact.tv_nsec >= 1000000000 || exact.tv_sec - other.tv_sec > 1 || day.tv_sec - exact.tv_sec > 1) return 1;
    if (time(&now) != now || exact.tv_sec - now > 1 || timespec_get(&other, TIME_UTC) != TIME_UTC || other.tv_sec - now > 1) return 2;
    return printf("%ld.%09ld\\n", exact.tv_sec, exact.tv_nsec) < 0;
}
"""
STAMPED = b"""
import socket, struct
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
    one.setsockopt(1, %(kind)d, 8 + 16 if %(kind)d == 37 else 1)  # SOF_TIMESTAMPING_RX_SOFTWARE, _SOFTWARE
    one.bind(('127.0.0.1', 0))
    told = []
    while not told:  # the kernel begins to stamp some time after it is asked to
        one.sendto(b'x', one.getsockname())
        told = one.recvmsg(9, 200)[1]
    ((level, kind, data),) = told
print(struct.unpack('q', data[:8])[0])
"""
WAITS = """
#define _GNU_SOURCE
#include <errno.h>
#include <mqueue.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>
static long ms(clockid_t clock) { struct timespec now; clock_gettime(clock, &now); return now.tv_sec * 1000 + now.tv_nsec / 1000000; }
static struct timespec soon(clockid_t clock) {
    struct timespec at; clock_gettime(clock, &at);
    at.tv_nsec += WAIT_MS * 1000000L; if (at.tv_nsec >= 1000000000) { at.tv_sec++; at.tv_nsec -= 1000000000; }
    return at;
}
#define WAIT(what, clock, timed_out) do { struct timespec at = soon(clock); (void)at; \\
    long began = ms(CLOCK_MONOTONIC); long result = what; \\
    printf("%d %ld %.30s\\n", timed_out, ms(CLOCK_MONOTONIC) - began, #what); fflush(stdout); } while (0)
#define NUMBER result == ETIMEDOUT
#define ERRNO result == -1 && errno == ETIMEDOUT
static void *forever(void *nothing) { pause(); return nothing; }
int main(void) {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER, taken = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER, other;
    pthread_condattr_t steady; pthread_condattr_init(&steady); pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&other, &steady); pthread_mutex_lock(&mutex); pthread_mutex_lock(&taken);
    WAIT(pthread_cond_timedwait(&cond, &mutex, &at), CLOCK_REALTIME, NUMBER);
    WAIT(pthread_cond_timedwait(&other, &mutex, &at), CLOCK_MONOTONIC, NUMBER);
    WAIT(pthread_cond_clockwait(&cond, &mutex, CLOCK_REALTIME, &at), CLOCK_REALTIME, NUMBER);
    WAIT(pthread_cond_clockwait(&cond, &mutex, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC, NUMBER);
    WAIT(pthread_mutex_timedlock(&taken, &at), CLOCK_REALTIME, NUMBER);
    WAIT(pthread_mutex_clocklock(&taken, CLOCK_REALTIME, &at), CLOCK_REALTIME, NUMBER);
    pthread_rwlock_t shared = PTHREAD_RWLOCK_INITIALIZER; pthread_rwlock_rdlock(&shared);
    WAIT(pthread_rwlock_timedwrlock(&shared, &at), CLOCK_REALTIME, NUMBER);
    WAIT(pthread_rwlock_clockwrlock(&shared, CLOCK_REALTIME, &at), CLOCK_REALTIME, NUMBER);
    sem_t semaphore; sem_init(&semaphore, 0, 0);
    WAIT(sem_timedwait(&semaphore, &at), CLOCK_REALTIME, ERRNO);
    WAIT(sem_clockwait(&semaphore, CLOCK_REALTIME, &at), CLOCK_REALTIME, ERRNO);
    WAIT(sem_clockwait(&semaphore, CLOCK_MONOTONIC, &at), CLOCK_MONOTONIC, ERRNO);
    mtx_t lock; cnd_t come; mtx_init(&lock, mtx_timed); cnd_init(&come); mtx_lock(&lock);
    WAIT(cnd_timedwait(&come, &lock, &at), CLOCK_REALTIME, result == thrd_timedout);
    WAIT(mtx_timedlock(&lock, &at), CLOCK_REALTIME, result == thrd_timedout);
    pthread_t thread; pthread_create(&thread, 0, forever, 0);
    WAIT(pthread_timedjoin_np(thread, 0, &at), CLOCK_REALTIME, NUMBER);
    WAIT(clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, 0), CLOCK_REALTIME, result == 0);
    WAIT(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, 0), CLOCK_MONOTONIC, result == 0);
    struct timespec while_ = {0, WAIT_MS * 1000000L};
    WAIT((at = while_, clock_nanosleep(CLOCK_REALTIME, 0, &at, 0)), CLOCK_REALTIME, result == 0);
    unsigned long rings; int timer = timerfd_create(CLOCK_REALTIME, 0); struct itimerspec ring = {0};
    WAIT((ring.it_value = at, timerfd_settime(timer, TFD_TIMER_ABSTIME, &ring, 0), read(timer, &rings, 8)), CLOCK_REALTIME, result == 8);
    WAIT((ring.it_value = while_, timerfd_settime(timer, 0, &ring, 0), read(timer, &rings, 8)), CLOCK_REALTIME, result == 8);
    sigset_t alarm; sigemptyset(&alarm); sigaddset(&alarm, SIGALRM); pthread_sigmask(SIG_BLOCK, &alarm, 0);
    timer_t posix; timer_create(CLOCK_REALTIME, 0, &posix);
    WAIT((ring.it_value = at, timer_settime(posix, TIMER_ABSTIME, &ring, 0), sigwaitinfo(&alarm, 0)), CLOCK_REALTIME, result == SIGALRM);
    struct mq_attr size = {.mq_maxmsg = 1, .mq_msgsize = 8}; char message[8];
    mqd_t queue = mq_open("/waits", O_RDWR | O_CREAT, 0600, &size);
    WAIT(mq_timedreceive(queue, message, 8, 0, &at), CLOCK_REALTIME, ERRNO);
    mq_send(queue, message, 8, 0);
    WAIT(mq_timedsend(queue, message, 8, 0, &at), CLOCK_REALTIME, ERRNO);
    return mq_unlink("/waits");
}
"""


@pytest.fixture
def behind(make: Make, session: HostSession) -> InstanceLayout:
    """Nodes a and b that have been away for hours; b does not want to know."""
    layout = make(lan_spec("a", "b", nodes={"b": Node(name="b", virtual_wall_clock=False)}))
    write_record(layout, the_record(layout).model_copy(update={"wall_shift_ns": -BEHIND_S * 10**9}))
    session.do("restart_nodes", ChangeNodes(instance=layout.root.name, fence=1, nodes=("a", "b")), InstanceStatus)
    return layout


def bring(layout: InstanceLayout, node: str, name: str, source: str, directory: Path) -> None:
    program = directory / name
    command = ["gcc", "-std=gnu11", "-Wall", "-Werror", f"-DWAIT_MS={WAIT_MS}", "-xc", "-", "-o", program]
    subprocess.run(command, input=source.encode(), check=True)
    assert run(layout, node, f"cat > /{name} && chmod +x /{name}", stdin=program.read_bytes()).code == 0


def hours_behind(layout: InstanceLayout, node: str, command: str, **options: object) -> float:
    done = run(layout, node, command, **options)
    assert (done.code, done.stderr) == (0, b""), command
    return (time.time() - float(done.stdout)) / 3600


@pytest.mark.timeout(60)
def test_whatever_reads_the_clock(behind: InstanceLayout, tmp_path: Path) -> None:
    for node, hours in (("a", 5), ("b", 0)):
        bring(behind, node, "clock", CLOCK, tmp_path)
        for command in READERS:
            assert abs(hours_behind(behind, node, command) - hours) < 0.02, (node, command)
    assert abs(hours_behind(behind, "a", "date +%s", user="nobody") - 5) < 0.02
    assert abs(hours_behind(behind, "a", "date +%s", environment={"LD_PRELOAD": ""})) < 0.02, "the program's own environment counts"
    assert abs(hours_behind(behind, "a", "env -i date +%s")) < 0.02


@pytest.mark.timeout(60)
def test_when_the_kernel_says_that_something_came(behind: InstanceLayout) -> None:
    for kind in (29, 35, 37):  # SO_TIMESTAMP, …NS, …ING
        assert abs(hours_behind(behind, "a", "python3 -S -", stdin=STAMPED % {b"kind": kind}) - 5) < 0.02
        assert abs(hours_behind(behind, "b", "python3 -S -", stdin=STAMPED % {b"kind": kind})) < 0.02
    took = run(behind, "a", "ping -c 1 127.0.0.1").stdout.partition(b"time=")[2].split()[0]
    assert 0 <= float(took) < 60_000


@pytest.mark.timeout(60)
def test_a_clock_of_a_missing_file_is_the_hosts(behind: InstanceLayout) -> None:
    assert abs(hours_behind(behind, "a", "rm /swapbed/wall; date +%s")) < 0.02


@pytest.mark.timeout(90)
def test_whatever_waits_for_an_instant(behind: InstanceLayout, tmp_path: Path) -> None:
    """Neither not at all nor for hours."""
    bring(behind, "a", "waits", WAITS, tmp_path)
    done = run(behind, "a", "timeout 60 /waits")
    lines = [line.split(" ", 2) for line in done.stdout.decode().splitlines()]
    assert done.code == 0 and len(lines) == 22, done
    assert not [line for line in lines if line[0] != "1" or int(line[1]) < WAIT_MS - 1]
