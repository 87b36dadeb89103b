"""Programs in nodes, run by hand and waited for."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.errors import ExperimentFailed
from models.protocol.host import ProgramEnded, RunProgram
from swapbed.living.access import Access
from swapbed.living.surroundings import surroundings
from swapbed.present import html


@dataclass(frozen=True)
class Completed:
    """A program that has ended. exit_code: as a shell would say it: 128 + N after signal N, 127 if it could not be started."""

    node: str
    command: str
    exit_code: int
    stdout: str
    stderr: str

    @property
    def ok(self) -> bool:
        return self.exit_code == 0

    def __str__(self) -> str:
        return self.stdout

    def _repr_html_(self) -> str:
        return html.heading(f"{self.node}$ {self.command}", remark=f"exit code {self.exit_code}") + html.output(self.stdout, self.stderr)


def run(access: Access, node: str, command: str | Sequence[str], *, check: bool = False, stdin: str | bytes = b"",
        timeout_s: float | None = None, directory: str | None = None, user: str | None = None,
        environment: Mapping[str, str] | None = None) -> Completed:
    """command: a line for /bin/sh, or the words of a program without a shell. It knows the run's parameters.

    Raises ExperimentFailed if check is set and the exit code is not 0; TimedOut.
    """
    line, words = (command, ()) if isinstance(command, str) else (None, tuple(command))
    asked = RunProgram(instance=access.instance_id, node=access.node(node), command=line, argv=words,
                       environment={**surroundings(access, node), **(environment or {})}, directory=directory, user=user,
                       stdin=stdin.encode() if isinstance(stdin, str) else stdin, timeout_s=timeout_s)
    ended = access.host_of(node).do("run", asked, ProgramEnded)
    done = Completed(node, line or shlex.join(words), ended.code, _text(ended.stdout), _text(ended.stderr))
    if check and not done.ok:
        said = done.stderr.strip() or done.stdout.strip()
        raise ExperimentFailed(f"exit code {done.exit_code}{': ' + said[-500:] if said else ''}", where=f"{node}$ {done.command}")
    return done


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
