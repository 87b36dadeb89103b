"""`exec`: streams between a client and a program, through pipes or a terminal, over swaps, and against bad clients."""

from __future__ import annotations

import contextlib
import random
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from throwaway import ThrowawayNode, wait_until

from models.errors import InvalidInput, NotFound, TimedOut
from models.protocol.init import HEADER, Output, encode
from nodeops.init.client import InitClient, Session, connect


def output_until(client: InitClient, session: Session, text: bytes) -> bytes:
    """What the session has said so far, once that contains text."""
    said = b""
    for event in client.events(10):
        session.note(event)
        if isinstance(event, Output):
            said += event.data
        if text in said:
            return said
    raise AssertionError(f"{text!r} did not come; {said!r} did")


def test_exec_gives_code_and_both_streams(node: ThrowawayNode):
    with node.client() as client:
        done = client.run(["sh", "-c", "cat; echo err >&2; exit 9"], stdin=b"in\0put")
        assert (done.code, done.stdout, done.stderr) == (9, b"in\0put", b"err\n")
        assert client.run("kill -SEGV $$").code == 139
        assert client.run(["/no/such"]).code == 127


def test_megabytes_pass_both_ways_unharmed(node: ThrowawayNode):
    data = random.Random(1).randbytes(5 << 20)
    with node.client() as client:
        assert client.run("cat", stdin=data).stdout == data


def test_a_program_that_does_not_read_holds_nobody_up(node: ThrowawayNode):
    with node.client() as client:
        assert client.run("exec <&-; sleep .1; echo done", stdin=b"x" * (1 << 20)).stdout == b"done\n"


def test_a_timeout_ends_the_program(node: ThrowawayNode):
    with node.client() as client, pytest.raises(TimedOut):
        client.run("sleep 4721", timeout_s=0.2)
    wait_until(lambda: not node.processes())


def test_output_nobody_reads_stops_the_program_not_init(node: ThrowawayNode):
    with node.client() as slow, node.client() as quick:
        slow.session("yes")
        for _ in range(20):
            assert quick.run("echo here").stdout == b"here\n"
        memory = int((node.root.parent / "status").read_text().split("VmRSS:")[1].split()[0])
        assert memory < 4096, f"init holds {memory} KiB"
    wait_until(lambda: not node.processes())


def test_a_daemon_that_holds_the_output_open_does_not_hold_the_session(node: ThrowawayNode):
    with node.client() as client:
        assert client.run("sleep 4722 & echo started", timeout_s=5).stdout == b"started\n"


def test_a_terminal_is_one(node: ThrowawayNode):
    with node.client() as client:
        script = "trap 'stty size; exit 4' WINCH; stty size; read line; echo [$line]; while :; do sleep .05; done"
        session = client.session(script, terminal=(33, 77))
        output_until(client, session, b"33 77")
        session.write(b"typed\n")
        output_until(client, session, b"[typed]")
        session.resize(50, 100)
        output_until(client, session, b"50 100")
        for event in client.events(5):
            session.note(event)
            if session.exit:
                break
        assert session.exit and session.exit.code == 4


def test_a_lost_client_hangs_its_programs_up(node: ThrowawayNode):
    with node.client() as client:
        script = "trap 'echo hung up >/swapbed/trapped; exit' HUP; echo ready; while :; do sleep .05; done"
        session = client.session(script, terminal=(24, 80))
        output_until(client, session, b"ready")
    wait_until(lambda: (node.root / "swapbed/trapped").exists() and not node.processes())


def test_a_session_goes_on_after_a_swap(node: ThrowawayNode):
    with node.client() as client:
        session = client.session("i=0; while read x; do i=$((i+1)); echo $i:$x; done")
        session.write(b"one\n")
        output_until(client, session, b"1:one\n")
        with node.client() as agent:
            agent.quiesce()
        with pytest.raises(NotFound):
            for event in client.events(5):
                session.note(event)
        assert session.parted
        session.write(b"two\n")
    with node.client() as client:
        session.adopt(client)
        output_until(client, session, b"2:two\n")
        session.write(b"three\n")
        output_until(client, session, b"3:three\n")


def test_what_was_under_way_at_a_swap_is_neither_lost_nor_doubled(node: ThrowawayNode):
    lines = b"".join(b"%06d\n" % i for i in range(400000))
    client = node.client()
    session = client.session("cat")
    session.write(lines)
    session.end_input()
    said = b""
    for cut in range(1, 4):
        for event in client.events(10):
            session.note(event)
            said += event.data if isinstance(event, Output) else b""
            if len(said) > cut * 500000:
                break
        with node.client() as agent:
            agent.post("quiesce")
            with contextlib.suppress(NotFound):
                for event in client.events(5):
                    session.note(event)
                    said += event.data if isinstance(event, Output) else b""
        client = node.client()
        session.adopt(client)
    for event in client.events(10):
        session.note(event)
        said += event.data if isinstance(event, Output) else b""
        if session.exit:
            break
    assert said == lines


def test_processes_of_the_node_may_not_command_its_init(node: ThrowawayNode):
    program = ("import socket,struct; s=socket.socket(socket.AF_UNIX); s.connect('/swapbed/run/init.sock');"
               "m=b'op=attach\\0request=1\\0'; s.sendall(struct.pack('<I',len(m))+m); print(s.recv(999))")
    with node.client() as client:
        assert b"not from inside the node" in client.run(["python3", "-S", "-c", program]).stdout


KEYS = ["op", "request", "sequence", "invocation", "command", "argv", "env", "signal", "path", "offset", "length", "pty", "eof", "target",
        "stdin", "stdout", "petition", "what"]
VALUES = ["spawn", "signal", "input", "resize", "adopt", "acknowledge", "answer", "read", "list", "stat", "petition", "attach", "true",
          "pipe", "/tmp", "-1", str(10**19), "x" * 5000]
TEXT = st.text(st.characters(codec="latin-1", exclude_characters="\0"), max_size=20)
ITEMS = st.lists(st.tuples(st.sampled_from(KEYS), st.one_of(st.sampled_from(VALUES), TEXT)))
JUNK = st.one_of(st.binary(max_size=200), st.builds(lambda body: HEADER.pack(len(body)) + body, st.binary(max_size=200)),
                 st.builds(encode, ITEMS, st.one_of(st.none(), st.binary(max_size=50))))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(JUNK, max_size=5))
def test_no_message_harms_init(node: ThrowawayNode, messages: list[bytes]):
    junk = connect(node.socket, 5)
    with contextlib.suppress(BrokenPipeError):
        junk.sendall(b"".join(messages))
    junk.close()
    with node.client() as client:
        client.hello()
        assert node.identity.alive()


def test_too_long_a_message_ends_the_connection(node: ThrowawayNode):
    stream = connect(node.socket, 5)
    stream.sendall(struct.pack("<I", 1 << 30))
    assert stream.recv(1) == b""
    stream.close()
    with node.client() as client, pytest.raises(InvalidInput):
        client.send("write", [("path", "/tmp/x")], b"x" * (2 << 20))


def answers(node: ThrowawayNode) -> bool:
    with contextlib.suppress(NotFound), node.client() as client:
        return client.hello().protocol == 1
    return False


def test_more_connections_than_init_takes_are_turned_away(node: ThrowawayNode):
    streams = [connect(node.socket, 5) for _ in range(100)]
    for stream in streams:
        stream.close()
    wait_until(lambda: answers(node))
