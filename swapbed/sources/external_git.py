"""The files of a git repository at a revision, by the program git: no hooks, no questions, no protocol that runs other programs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from models.errors import HostProblem, InvalidInput, NotFound, TimedOut
from models.externals import GitSource

TIMEOUT_S = 600.0
PROTOCOLS = "file:git:http:https:ssh"
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
UNKNOWN = ("couldn't find remote ref", "not our ref", "unadvertised object", "no such remote ref")
OWNERSHIP = "dubious ownership"


def fetch_git(source: GitSource, base: Path | None, target: Path) -> str:
    """Into target, which is made; returns the commit that the revision is. base: what a relative address starts from.

    Only the revision itself is fetched where the server gives it by name, else all branches and tags. Submodules stay empty.
    """
    address = _address(source.git, base)
    repository = target.with_name(f"{target.name}.git")
    _git("init", "--quiet", "--bare", "--template=", str(repository))
    try:
        commit = _commit(repository, source, address)
        tree = f"{commit}:{source.path}" if source.path else f"{commit}^{{tree}}"
        if _git("cat-file", "-t", tree, at=repository, may_fail=True) != "tree":
            raise NotFound(f"there is no directory '{source.path}' at {source.revision}", where=source.git)
        target.mkdir()
        _git("read-tree", tree, at=repository)
        _git("-c", "core.bare=false", "checkout-index", "--all", f"--prefix={target}/", at=repository, inside=target)
    finally:
        shutil.rmtree(repository, ignore_errors=True)
    return commit


def _address(git: str, base: Path | None) -> str:
    """A path that exists relative to the source is meant so; git would take it relative to where the command was called."""
    if base is not None and "://" not in git and (base / git).exists():
        return str((base / git).resolve())
    return git


def _commit(repository: Path, source: GitSource, address: str) -> str:
    shallow = ("--depth=1",) if "://" in address and not address.startswith("file:") else ()  # of a path, git copies or links
    said = _fetch(repository, address, source.revision, *shallow)
    if said is None:
        return _git("rev-parse", "FETCH_HEAD^{commit}", at=repository) or ""
    if not any(words in said.lower() for words in UNKNOWN):
        raise _unreachable(source, said)
    said = _fetch(repository, address, "+refs/heads/*:refs/heads/*", "--tags")
    if said is not None:
        raise _unreachable(source, said)
    commit = _git("rev-parse", "--verify", "--quiet", f"{source.revision}^{{commit}}", at=repository, may_fail=True)
    if not commit or not COMMIT.fullmatch(commit):
        raise NotFound(f"the repository has no revision '{source.revision}'", where=source.git,
                       next="Name a commit, tag or branch that it has now")
    return commit


def _fetch(repository: Path, address: str, what: str, *options: str) -> str | None:
    """None, or what git said when it could not."""
    done = _run("fetch", "--quiet", "--no-write-commit-graph", "--recurse-submodules=no", *options, "--", address, what, at=repository)
    return None if done.returncode == 0 else done.stderr.strip()


def _unreachable(source: GitSource, said: str) -> InvalidInput:
    hint = "Let root read it: git config --global --add safe.directory DIRECTORY" if OWNERSHIP in said else "Is the address right?"
    return InvalidInput(f"git cannot fetch from there: {(said.splitlines() or ['it did not say why'])[-1]}", where=source.git, next=hint)


def _git(*words: str, at: Path | None = None, inside: Path | None = None, may_fail: bool = False) -> str | None:
    done = _run(*words, at=at, inside=inside)
    if done.returncode != 0:
        if may_fail:
            return None
        raise HostProblem(f"git {words[0]} failed: {(done.stderr.strip().splitlines() or ['it did not say why'])[-1]}")
    return done.stdout.strip()


def _run(*words: str, at: Path | None = None, inside: Path | None = None) -> subprocess.CompletedProcess[str]:
    """at: the repository. inside: a work tree."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS, "GIT_ASKPASS": "true", "LC_ALL": "C",
                   "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")}
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        environment.pop(name, None)  # of a hook that this is called from
    where = ["--git-dir", str(at)] if at else []
    try:
        return subprocess.run(["git", *where, *(["--work-tree", str(inside)] if inside else []), *words], env=environment, text=True,
                              errors="surrogateescape", capture_output=True, timeout=TIMEOUT_S, stdin=subprocess.DEVNULL)
    except FileNotFoundError as error:
        raise HostProblem("the program 'git' is missing", next="apt-get install git") from error
    except subprocess.TimeoutExpired as error:
        raise TimedOut(f"git did not finish within {TIMEOUT_S:g} s", where=" ".join(words[-2:])) from error
