"""A question to a Python module in a child process that may not last, grow, or take anything along.

The module reads the question, one JSON value, from standard input, calls `give_up_root` before it touches what it does not
trust, and prints its answer, one JSON value, to standard output. It starts isolated (`-I`: no user site, nothing from the
current directory), with an environment of our making, limits set from outside, and a new session, so that whatever it
started ends with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.errors import InvalidInput

_ENVIRONMENT = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"}
_NOBODY = 65534
_REMARKS_LIMIT_BYTES = 64 << 10
_LAST_WORDS_S = 1.0  # for the child to end by itself once it has answered, so that its exit code and messages are its own


@dataclass(frozen=True)
class Limits:
    """Of one evaluation. memory: address space."""

    wall_clock_s: float = 20
    cpu_s: int = 10
    memory_bytes: int = 1 << 30
    answer_bytes: int = 64 << 20


def ask(module: str, question: Any, where: str, limits: Limits = Limits()) -> Any:
    """The module's answer. InvalidInput at `where` if it takes too long, dies or says too much.

    What the child says on standard error goes to ours, up to a limit.
    """
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(question).encode())
        stdin.seek(0)
        with subprocess.Popen([sys.executable, "-I", "-m", module], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/",
                              start_new_session=True, env=_ENVIRONMENT) as child:
            _limit(child.pid, limits)
            try:
                answer, remarks = _listen(child, limits)
                if answer is None:
                    raise InvalidInput(f"the evaluation took longer than {limits.wall_clock_s:g} s", where=where)
                if len(answer) > limits.answer_bytes:
                    raise InvalidInput(f"the evaluation makes more than {limits.answer_bytes >> 20} MiB", where=where)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    child.wait(_LAST_WORDS_S)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGKILL)
    if remarks:
        sys.stderr.write(remarks.decode(errors="replace"))
    try:
        return json.loads(answer)
    except ValueError:
        raise InvalidInput(f"the evaluation ended without an answer ({_ending(child.returncode, limits)})", where=where) from None


def _limit(pid: int, limits: Limits) -> None:
    """From outside, so that nothing in the child needs to be trusted to do it."""
    with contextlib.suppress(ProcessLookupError):
        resource.prlimit(pid, resource.RLIMIT_CPU, (limits.cpu_s, limits.cpu_s + 1))
        resource.prlimit(pid, resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def give_up_root() -> None:
    """In the child: become nobody, without new processes, if what may still have to be imported can be read so."""
    if os.geteuid() != 0:
        return
    os.seteuid(_NOBODY)
    readable = all(os.access(path, os.R_OK | os.X_OK, effective_ids=True) for path in sys.path if Path(path).is_dir())
    readable = readable and os.access(__file__, os.R_OK, effective_ids=True)
    os.seteuid(0)
    if readable:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def _listen(child: subprocess.Popen[bytes], limits: Limits) -> tuple[bytes | None, bytes]:
    """What it answers, up to a little over the limit, or None when time is up first; and the beginning of its remarks."""
    deadline = time.monotonic() + limits.wall_clock_s
    heard: dict[Any, bytearray] = {child.stdout: bytearray(), child.stderr: bytearray()}
    still = list(heard)
    while still and len(heard[child.stdout]) <= limits.answer_bytes:
        ready, _, _ = select.select(still, [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None, bytes(heard[child.stderr])
        for pipe in ready:
            piece = os.read(pipe.fileno(), 1 << 20)
            if not piece:
                still.remove(pipe)
            elif pipe is child.stdout or len(heard[pipe]) < _REMARKS_LIMIT_BYTES:
                heard[pipe] += piece
    return bytes(heard[child.stdout]), bytes(heard[child.stderr][:_REMARKS_LIMIT_BYTES])


def _ending(code: int, limits: Limits) -> str:
    reasons = {-signal.SIGXCPU: f"it used up its {limits.cpu_s} s of processor time", -signal.SIGKILL: "it was killed",
               -signal.SIGSEGV: "it crashed"}
    return reasons.get(code, f"exit code {code}")
