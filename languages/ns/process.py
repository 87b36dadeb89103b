"""One ns program in a child process of its own: light, limited, and gone afterwards whatever the program does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from languages.ns.answer import Answer
from languages.ns.refusal import OUT_OF_MEMORY
from models.errors import HostProblem, InvalidInput, SwapbedError

ROOT = Path(__file__).resolve().parents[2]
# -I and -S: nothing of the user's environment, no site-packages; the child needs the standard library only.
START = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from languages.ns.child import main; main()"
LINE_BYTES = 8
GRACE_S = 8.0  # the child process ends itself before
DIED_WITHIN_S = 3.0  # of a second run, which is only to find the line


class Limits(BaseModel):
    """seconds: wall-clock time of the program itself. memory_bytes: what it may use beyond the interpreter. commands: of Tcl."""

    model_config = ConfigDict(frozen=True)

    seconds: float = 10
    memory_bytes: int = 88 << 20
    commands: int = 100_000_000


class Request(Limits):
    text: str
    values: dict[str, str] = {}
    step_by_step: bool = False
    line_fd: int


def evaluate_program(name: str, text: str, values: dict[str, str], limits: Limits | None = None) -> Answer:
    """The answer, which is no error. InvalidInput says FILE:LINE and why the program is refused."""
    limits = limits or Limits()
    with _LineKeeper() as keeper:
        request = Request(**limits.model_dump(), text=text, values=values, line_fd=keeper.fd)
        ended = _run(request, limits.seconds + GRACE_S)
        if isinstance(ended, str):
            _run(request.model_copy(update={"step_by_step": True}), DIED_WITHIN_S)
            line = keeper.line()
            raise InvalidInput(ended, where=f"{name}:{line}" if line else name, next="The program has ended; nothing is left of it.")
    if ended.missing is not None:
        raise HostProblem(f"this Python ({sys.executable}) lacks the module '{ended.missing}', which evaluates ns programs",
                          next="Install it: on Debian, `apt-get install python3-tk`.")
    if ended.error is not None:
        where = f"{name}:{ended.error.line}" if ended.error.line else name
        raise InvalidInput(ended.error.what.replace("\n", " ").rstrip(". "), where=where, next=ended.error.next)
    return ended


def _run(request: Request, wall_s: float) -> Answer | str:
    """The child's answer, or why it died without one."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", START],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=[request.line_fd],
        env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    try:
        answer, complaint = process.communicate(request.model_dump_json().encode(), timeout=wall_s)
    except subprocess.TimeoutExpired:
        return f"the program did not end within {request.seconds:g} s"
    finally:
        process.kill()
        process.wait()
    if process.returncode == 0:
        try:
            return Answer.model_validate_json(answer)
        except ValidationError as error:
            raise SwapbedError(f"the interpreter's answer is not understood: {error.errors(include_url=False)[0]['msg']}") from error
    tail = complaint[-2000:].decode("utf-8", "replace")
    memory = f"the program needs more memory than the {request.memory_bytes >> 20} MiB it may have"
    if process.returncode in (OUT_OF_MEMORY, -11) or (process.returncode == -6 and "alloc" in tail):
        return memory
    if process.returncode in (-24, -9):  # SIGXCPU, and SIGKILL that follows it
        return f"the program did not end within {request.seconds:g} s"
    raise SwapbedError(
        f"the interpreter failed ({process.returncode}): {tail.strip().splitlines()[-1] if tail.strip() else 'without a word'}",
        next="This is an error of Swapbed, not of the program: please report it.",
    )


class _LineKeeper:
    """Memory shared with the child process, where it notes the line it is at."""

    def __enter__(self) -> _LineKeeper:
        self.fd = os.memfd_create("line")
        os.ftruncate(self.fd, LINE_BYTES)
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self.fd)

    def line(self) -> int:
        return int.from_bytes(os.pread(self.fd, LINE_BYTES, 0), "little")
