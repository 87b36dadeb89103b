"""Files of swapped nodes that have lost their name, or are in memory: who holds them open goes on with them, and the rest lies there."""

from __future__ import annotations

import json
import shutil

import pytest

from nodeops.checkpoint.spool import Spool
from nodeops.layout import InstanceLayout
from tests.nodeops.checkpoint.test_swap import spool, start, swap_in, swap_out, wait_until  # noqa: F401 (spool: a fixture)
from tests.nodeops.instances import Make, lan_spec

HOLDING = """
import json, mmap, os, socket, stat, time
os.setsid(); os.makedirs('/dev/shm/deep/er', mode=0o700)
os.mkfifo('/dev/shm/fifo', 0o640); os.symlink('/dev/shm/mapped', '/dev/shm/link'); os.chown('/dev/shm/fifo', 7, 8)
named = socket.socket(socket.AF_UNIX); named.bind('/dev/shm/deep/socket'); named.listen()
stale = socket.socket(socket.AF_UNIX); stale.bind('/dev/shm/stale'); stale.close()
open('/dev/shm/deep/er/file', 'w').write('lies there'); os.link('/dev/shm/deep/er/file', '/dev/shm/twin')
sparse = open('/dev/shm/sparse', 'wb'); sparse.seek(1 << 30); sparse.write(b'end'); sparse.close()
held = {}
for name in ('/dev/shm/gone', '/gone', '/dev/shm/renamed', '/renamed'):
    held[name] = open(name, 'w+b', buffering=0); held[name].write(b'x' * 8192)
os.unlink('/dev/shm/gone'); os.unlink('/gone')
for name in ('/dev/shm/renamed', '/renamed'):
    os.link(name, name + '.other'); os.unlink(name)
with open('/dev/shm/mapped', 'w+b') as file:
    file.truncate(4096); shared = mmap.mmap(file.fileno(), 4096)
child = os.fork()
count = 0
while True:
    if child == 0:
        time.sleep(.01); shared[1] = shared[0]; continue
    count = (count + 1) % 200; shared[0] = count
    for file in held.values():
        file.seek(0); file.write(bytes([count])); file.seek(4096); assert file.read() == b'x' * 4096
    for name in ('/dev/shm/renamed.other', '/renamed.other'):
        assert open(name, 'rb').read(1) == bytes([count]), name
    while shared[1] != count: time.sleep(.005)
    peer = socket.socket(socket.AF_UNIX); peer.connect('/dev/shm/deep/socket'); named.accept()[0].close(); peer.close()
    known = {name: [os.lstat('/dev/shm/' + name).st_mode, os.lstat('/dev/shm/' + name).st_uid] for name in sorted(os.listdir('/dev/shm'))}
    json.dump({'names': known, 'inside': open('/dev/shm/twin').read(), 'links': os.stat('/dev/shm/twin').st_nlink,
               'blocks': os.stat('/dev/shm/sparse').st_blocks, 'own': os.stat('/dev/shm').st_mode}, open('/told.new', 'w'))
    os.rename('/told.new', '/told')
    open('/rounds.new', 'w').write(str(int(open('/rounds').read()) + 1 if os.path.exists('/rounds') else 1))
    os.rename('/rounds.new', '/rounds')
"""


def rounds(layout: InstanceLayout) -> int:
    path = layout.node("a").upper / "rounds"
    return int(path.read_text()) if path.exists() else 0


def assert_goes_on(layout: InstanceLayout) -> dict[str, object]:
    before = rounds(layout)
    wait_until(lambda: rounds(layout) > before + 3)
    assert (layout.node("a").upper / "out").read_text() == ""
    return json.loads((layout.node("a").upper / "told").read_text())


@pytest.mark.timeout(60)
def test_files_in_memory_and_files_without_a_name_come_back_twice(make: Make, spool: Spool) -> None:  # noqa: F811
    layout = make(lan_spec("a", "b"), daemons=("wires", "conductor"))
    start(layout, "a", HOLDING)
    before = assert_goes_on(layout)
    assert before["links"] == 2
    for epoch in range(2):
        swap_out(layout, spool, epoch)
        assert spool.node("a").memory.exists()
        assert not spool.node("b").memory.exists()
        swap_in(layout, spool)
        after = assert_goes_on(layout)
        assert after == before | {"blocks": after["blocks"]}
        assert int(str(after["blocks"])) <= 16
        shutil.rmtree(spool.root)
