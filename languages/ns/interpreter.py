"""A safe Tcl interpreter for one ns program, and the lines of what it evaluates.

The program runs in a *safe* child interpreter (Tcl's `interp create -safe`: no files, sockets, processes or environment) under
limits. It is evaluated by `source`, of a file that exists in memory alone, because Tcl then knows the line of every command, in
procedures and loops, too (`info frame`, TIP 280).

`set` is replaced: an object is named by the global variable it is stored in right after it was made, as in Emulab.
"""

from __future__ import annotations

import os
import time
import tkinter
from collections.abc import Callable

from languages.ns.refusal import Refused

BOX = "box"
TCL_ERROR = 1
RECURSION_LIMIT = 500

# `tailcall` and `uplevel` let the replaced `set` work on the caller's variables.
PRELUDE = r"""
namespace eval ::swapbed { variable fresh {} }
rename set ::swapbed::assign
proc ::set {name args} {
    if {$::swapbed::fresh ne "" && [llength $args] == 1} {
        tailcall ::swapbed::assign_fresh $name [lindex $args 0]
    }
    tailcall ::swapbed::assign $name {*}$args
}
proc ::swapbed::assign_fresh {name value} {
    uplevel 1 [list ::swapbed::assign $name $value]
    ::swapbed::assign base [lindex [split $name "("] 0]
    if {![string match ::* $base]} {
        if {[uplevel 1 {info level}] != 0 && [lsearch -exact [uplevel 1 {info locals}] $base] >= 0} { return $value }
        if {![uplevel #0 [list info exists $base]]} { return $value }
    }
    ::swapbed::assign made $::swapbed::fresh
    ::swapbed::assign ::swapbed::fresh {}
    if {$value ne $made} { return $value }
    uplevel 1 [list ::swapbed::assign $name [::swapbed::name_fresh $name]]
}
proc ::swapbed::run {} { uplevel #0 ::swapbed::source_program }
namespace eval ::GLOBALS { variable pid swapbed; variable gid swapbed; variable eid experiment; variable security_level 0 }
::swapbed::assign ::argv {}
::swapbed::assign ::argc 0
expr {srand(1)}
"""

# Of the interpreter above: calls become Python's, and the innermost line of the program is found.
OUTER = r"""
proc call {args} {
    lassign [swapbed_call {*}$args] failed value
    if {$failed} { return -code error $value }
    return $value
}
proc innermost {} {
    for {set level [interp eval box ::tcl::info::frame]} {$level > 0} {incr level -1} {
        set frame [interp eval box [list ::tcl::info::frame $level]]
        if {[dict get $frame type] eq "source"} { return [list [dict get $frame line] [dict get $frame cmd]] }
    }
    return {0 {}}
}
proc outermost {} {
    set depth [interp eval box ::tcl::info::frame]
    for {set level 1} {$level <= $depth} {incr level} {
        set frame [interp eval box [list ::tcl::info::frame $level]]
        if {[dict get $frame type] eq "source"} { return [dict get $frame line] }
    }
    return 0
}
"""


class TclFailed(Exception):
    """The program failed in Tcl itself. exhausted: a limit was exceeded, so that another pass would not end either."""

    def __init__(self, message: str, line: int, exhausted: bool = False):
        super().__init__(message)
        self.message, self.line, self.exhausted = message, line, exhausted


class Interpreter:
    """called: what a command of ours does; its error's text is Tcl's error. on_line: told each line that is reached."""

    def __init__(self, text: str, called: Callable[[tuple[str, ...]], str], on_line: Callable[[int], None]):
        self._called, self._on_line, self._lines = called, on_line, text.splitlines()
        self._tcl = tkinter.Tcl()
        self._tcl.wantobjects(False)
        self._tcl.createcommand("swapbed_call", self._call)
        self._tcl.createcommand("swapbed_step", self._step)
        self._tcl.eval(OUTER)
        self._tcl.eval(f"interp create -safe {BOX}")
        self._evaluate(PRELUDE)
        self._program = os.memfd_create("program.ns")
        with os.fdopen(os.dup(self._program), "wb") as file:
            file.write(text.encode())
        self._tcl.eval(
            f"proc source_program {{}} {{ interp invokehidden {BOX} -global source -encoding utf-8 /proc/self/fd/{self._program} }}"
        )
        self._tcl.eval(f"interp alias {BOX} ::swapbed::source_program {{}} source_program")
        self._reached = (0, 0)
        self._crash: BaseException | None = None

    def bind(self, name: str) -> None:
        self._tcl.call("interp", "alias", BOX, f"::{name}", "", "call", name)

    def unbind(self, name: str) -> None:
        self._tcl.call("interp", "alias", BOX, f"::{name}", "")

    def exists(self, name: str) -> bool:
        pattern = "".join("\\" + c if c in "*?[]\\" else c for c in name)
        return bool(self._tcl.splitlist(self._evaluate(("info", "commands", f"::{pattern}"))))

    def note_fresh(self, name: str) -> None:
        self._evaluate(("::swapbed::assign", "::swapbed::fresh", name))

    def here(self) -> int:
        return self._innermost()[0]

    def line_in(self, body: str, lines: int) -> int:
        line, command = self._innermost()
        start = command.find(body)
        return line + lines + (command.count("\n", 0, start) if start >= 0 else 0)

    def substitute(self, command: str) -> list[str]:
        try:
            return self.words(self._evaluate(f"list {command}"))
        except tkinter.TclError as error:
            raise Refused(str(error)) from None

    def words(self, text: str) -> list[str]:
        try:
            return [str(word) for word in self._tcl.splitlist(text)]
        except tkinter.TclError as error:
            raise Refused(f"'{text[:60]}' is not a Tcl list: {error}") from None

    def assign(self, variable: str, value: str) -> None:
        self._evaluate(("::swapbed::assign", variable, value))

    def array(self, name: str) -> dict[str, str]:
        flat = self.words(self._evaluate(f"uplevel #0 {{array get {name}}}"))
        return dict(zip(flat[::2], flat[1::2], strict=True))

    def run(self, commands: int, seconds: float, step_by_step: bool = False) -> None:
        """Evaluate the program. step_by_step: thirty times slower, but then every single line is told to `on_line`.

        Raises TclFailed; its line is exact if step_by_step, else that of the outermost command.
        """
        if step_by_step:
            self._tcl.eval(f"interp alias {BOX} ::swapbed::step {{}} swapbed_step")
            self._evaluate("trace add execution ::swapbed::run enterstep ::swapbed::step")
        self._tcl.eval(f"interp recursionlimit {BOX} {RECURSION_LIMIT}")
        end_ms = int((time.time() + seconds) * 1000)
        self._tcl.eval(f"interp limit {BOX} time -seconds {end_ms // 1000} -milliseconds {end_ms % 1000}")
        self._tcl.eval(f"interp limit {BOX} commands -value {commands}")
        failed = int(self._tcl.eval(f"catch {{interp eval {BOX} ::swapbed::run}} message options"))
        self._tcl.eval(f"interp limit {BOX} time -seconds {{}}; interp limit {BOX} commands -value {{}}")
        if self._crash is not None:
            raise self._crash
        if failed == TCL_ERROR:
            message, trail = (str(self._tcl.eval(text)) for text in ("set message", "dict get $options -errorinfo"))
            if time.time() * 1000 >= end_ms:
                message = "time limit exceeded"
            raise TclFailed(message, self._failed_line(trail, step_by_step), message.endswith("limit exceeded"))

    def _failed_line(self, trail: str, exact: bool) -> int:
        """Tcl's trail names the line of the outermost command, which a step that never began does not reach."""
        marker = f'(file "/proc/self/fd/{self._program}" line '
        start = trail.find(marker)
        outermost = int(trail[start + len(marker):trail.index(")", start + len(marker))]) if start >= 0 else 0
        inner, outer = self._reached
        return self._failed_words(trail, inner) if exact and outer >= outermost else outermost

    def _failed_words(self, trail: str, reached: int) -> int:
        """A command whose words could not be substituted never became a step: it stands behind the last that did."""
        command = trail.partition('while executing\n"')[2].split("\n")[0].removesuffix('"').removesuffix("...").strip()
        behind = enumerate(self._lines[reached - 1:], reached) if command else ()
        return next((number for number, line in behind if command in line), reached)

    def _evaluate(self, script: str | tuple[str, ...]) -> str:
        """In the program's interpreter, where it stands."""
        return str(self._tcl.call("interp", "eval", BOX, script))

    def _innermost(self) -> tuple[int, str]:
        """(line, command) of the program where it stands."""
        try:
            line, command = self._tcl.splitlist(self._tcl.call("innermost"))
        except tkinter.TclError:  # the program has broken Tcl's own commands
            return 0, ""
        self._on_line(int(line))
        return int(line), str(command)

    def _call(self, *words: str) -> tuple[str, str]:
        """An exception cannot pass through Tcl; one that is no `Refused` ends the program and is raised again by `run`."""
        try:
            return "0", self._called(words)
        except Refused as error:
            return "1", error.what
        except RecursionError:
            return "1", "too many nested evaluations (infinite loop?)"
        except tkinter.TclError as error:  # a limit was exceeded while a command of ours used the interpreter
            return "1", str(error)
        except BaseException as error:
            self._crash = error
            return "1", "internal error"

    def _step(self, *words: str) -> None:
        line, _ = self._innermost()
        if line:
            self._reached = (line, int(self._tcl.call("outermost")))
