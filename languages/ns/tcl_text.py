"""Texts and names as a Tcl program must spell them."""

from __future__ import annotations

import re

from languages.ns.commands import COMMANDS

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")
_VARIABLE = re.compile(r"[A-Za-z0-9_]+")
# Tcl 8.6's commands, which objects cannot hide; `ns` and `opt` are the program's own variables.
TCL_COMMANDS = frozenset(
    [
        "after",
        "append",
        "apply",
        "array",
        "auto_execok",
        "auto_import",
        "auto_load",
        "auto_load_index",
        "auto_qualify",
        "binary",
        "break",
        "case",
        "catch",
        "cd",
        "chan",
        "clock",
        "close",
        "concat",
        "continue",
        "coroutine",
        "dict",
        "encoding",
        "eof",
        "error",
        "eval",
        "exec",
        "exit",
        "expr",
        "fblocked",
        "fconfigure",
        "fcopy",
        "file",
        "fileevent",
        "flush",
        "for",
        "foreach",
        "format",
        "gets",
        "glob",
        "global",
        "if",
        "incr",
        "info",
        "interp",
        "join",
        "lappend",
        "lassign",
        "lindex",
        "linsert",
        "list",
        "llength",
        "lmap",
        "load",
        "lrange",
        "lrepeat",
        "lreplace",
        "lreverse",
        "lsearch",
        "lset",
        "lsort",
        "namespace",
        "open",
        "package",
        "pid",
        "proc",
        "puts",
        "pwd",
        "read",
        "regexp",
        "regsub",
        "rename",
        "return",
        "scan",
        "seek",
        "set",
        "socket",
        "source",
        "split",
        "string",
        "subst",
        "switch",
        "tailcall",
        "tclLog",
        "tell",
        "throw",
        "time",
        "trace",
        "try",
        "unknown",
        "unload",
        "unset",
        "update",
        "uplevel",
        "upvar",
        "variable",
        "vwait",
        "while",
        "yield",
        "yieldto",
        "zlib",
        "ns",
        "opt",
        "argc",
        "argv",
        "argv0",
        "env",
    ]
)


def word(text: str) -> str:
    """One Tcl word that is this text, with nothing substituted; braced where that is possible, since it reads best."""
    if _PLAIN.fullmatch(text):
        return text
    return f"{{{text}}}" if _balanced(text) else '"' + re.sub(r'([\\"$\[\]{}])', r"\\\1", text).replace("\n", "\\n") + '"'


def reference(variable: str) -> str:
    """The variable's value."""
    return f"${variable}" if _VARIABLE.fullmatch(variable) else f"${{{variable}}}"


def is_free(name: str) -> bool:
    """Whether an object can have this name."""
    return name not in TCL_COMMANDS and name not in COMMANDS and not name.startswith("tcl")


def _balanced(text: str) -> bool:
    depth = 0
    for character in text:
        depth += {"{": 1, "}": -1}.get(character, 0)
        if depth < 0:
            return False
    return depth == 0 and "\\" not in text
