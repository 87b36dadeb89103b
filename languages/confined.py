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

_NOBODY = 65534


@dataclass(frozen=True)
class Limits:
    """Of one evaluation. memory: address space."""

    wall_clock_s: float = 20
    cpu_s: int = 10
    memory_bytes: int = 1 << 30
    answer_bytes: int = 64 << 20


def ask(module: str, question: Any, where: str, limits: Limits = Limits()) -> Any:
    """The module's answer. InvalidInput at `where` if it takes too long, dies or says too much."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(json.dumps(question).encode())
        stdin.seek(0)
        child = subprocess.Popen([sys.executable, "-I", "-m", module], stdin=stdin, stdout=subprocess.PIPE, cwd="/",
                                 start_new_session=True, env={"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1"})
        try:
            assert child.stdout is not None
            _limit(child.pid, limits)
            answer = _read(child.stdout.fileno(), time.monotonic() + limits.wall_clock_s, limits.answer_bytes)
            if answer is None:
                raise InvalidInput(f"the evaluation took longer than {limits.wall_clock_s:g} s", where=where)
            if len(answer) > limits.answer_bytes:
                raise InvalidInput(f"the evaluation makes more than {limits.answer_bytes >> 20} MiB", where=where)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
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


def _read(pipe: int, deadline: float, limit_bytes: int) -> bytes | None:
    """All of it, up to a little over the limit; None when the deadline passes first."""
    pieces, size = [], 0
    while size <= limit_bytes:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        piece = os.read(pipe, 1 << 20)
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


def _ending(code: int, limits: Limits) -> str:
    reasons = {-signal.SIGXCPU: f"it used up its {limits.cpu_s} s of processor time", -signal.SIGKILL: "it was killed",
               -signal.SIGSEGV: "it crashed"}
    return reasons.get(code, f"exit code {code}")
