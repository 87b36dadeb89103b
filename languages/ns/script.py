"""Tcl text into commands: where one ends and on which line it began. Substitutes nothing."""

from __future__ import annotations

from languages.ns.refusal import Refused


def commands(text: str, brackets: bool = True) -> list[tuple[int, str]]:
    """(lines before it, command) for each command of a script, comments left out.

    brackets: `[…]` holds a command, as in a script; False for text that Tcl has already substituted, as `$ns at` gets it.
    """
    found = []
    scanner = _Scanner(text, brackets)
    while (start := scanner.skip_to_command()) is not None:
        end = scanner.skip_command()
        found.append((text.count("\n", 0, start), text[start:end].strip()))
    return found


class _Scanner:
    def __init__(self, text: str, brackets: bool):
        self._text, self._brackets, self._at = text, brackets, 0

    def skip_to_command(self) -> int | None:
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "#":
                self._skip_comment()
            elif character.isspace() or character == ";":
                self._at += 1
            elif self._text.startswith("\\\n", self._at):
                self._at += 2
            else:
                return self._at
        return None

    def skip_command(self, closing: str = "") -> int:
        """To the end of the command, or to the bracket that closes it."""
        fresh = True  # at the beginning of a word
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == closing or (character in "\n;" and not closing):
                break
            if fresh and character in "{\"":
                self._skip_braces() if character == "{" else self._skip_quotes()
                fresh = False
            elif character == "\\":
                self._at += 2
                fresh = False
            elif character == "[" and self._brackets:
                self._skip_brackets()
                fresh = False
            else:
                fresh = character.isspace() or (character == ";" and bool(closing))
                self._at += 1
        return min(self._at, len(self._text))

    def _skip_comment(self) -> None:
        while self._at < len(self._text) and self._text[self._at] != "\n":
            self._at += 2 if self._text[self._at] == "\\" else 1

    def _skip_braces(self) -> None:
        start, depth = self._at, 0
        while self._at < len(self._text):
            character = self._text[self._at]
            self._at += 2 if character == "\\" else 1
            depth += {"{": 1, "}": -1}.get(character, 0)
            if depth == 0:
                return
        raise self._unclosed("brace", start)

    def _skip_quotes(self) -> None:
        start = self._at
        self._at += 1
        while self._at < len(self._text):
            character = self._text[self._at]
            if character == "[" and self._brackets:
                self._skip_brackets()
                continue
            self._at += 2 if character == "\\" else 1
            if character == '"':
                return
        raise self._unclosed("quote", start)

    def _skip_brackets(self) -> None:
        start = self._at
        self._at += 1
        self.skip_command("]")
        if self._at >= len(self._text):
            raise self._unclosed("bracket", start)
        self._at += 1

    def _unclosed(self, what: str, start: int) -> Refused:
        return Refused(f"missing close-{what} for '{self._text[start:start + 40].splitlines()[0]}'")
