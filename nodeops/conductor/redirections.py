"""csh's redirections in the words of /bin/sh: `>& FILE`, `>>& FILE`, `|&`.

csh is the shell of Emulab's program agents, and its users' files are full of `>& /tmp/foo.log`, of which a POSIX shell only says
"Bad fd number". What /bin/sh understands is left as it is: `2>&1`, `>&2`, `>&-`, `>&$fd`. Pure.
"""

from __future__ import annotations

import re

_QUOTED = r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\""
_COMMENT = r"(?:(?<=\s)|^)\#[^\n]*"
_FILE = rf"(?:{_QUOTED}|[^\s;&|<>()'\"\\])+"
_PIECE = re.compile(
    rf"(?P<kept>{_QUOTED}|{_COMMENT})|(?<![\d&<>])(?P<sign>>>?)&!?(?P<gap>[ \t]*)(?P<file>{_FILE})|(?<!\|)\|&", re.DOTALL
)
_OF_SH = re.compile(r"\d+|-")
_VARIABLE = re.compile(r"\$(?:\w+|\{\w+\})")


def in_sh(command: str) -> str:
    """The command for /bin/sh. Here-documents hold any text: a command with one is left alone."""
    return command if "<<" in command else _PIECE.sub(_piece, command)


def _piece(match: re.Match[str]) -> str:
    file = match["file"]
    if match["kept"] is not None:
        return match[0]
    if file is None:
        return "2>&1 |"
    if _OF_SH.fullmatch(file) or (not match["gap"] and _VARIABLE.fullmatch(file)):
        return match[0]
    return f"{match['sign']}{match['gap']}{file} 2>&1"
