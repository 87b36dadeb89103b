"""The ns language: Emulab's dialect of ns-2's Tcl, to a spec.

    language     the door: `evaluate` and `parameters_of`, as every language has them
    process      a program in a child process with limits on commands, time and memory
    answer       what the child process answers (pydantic)
    ---- runs in the child process, imports the standard library only, so that it starts in 20 ms
    child        the child process: limits, two passes, the answer
    interpreter  the safe Tcl interpreter and the lines of what it evaluates
    world        everything a program has declared so far
    objects      what ns objects have in common; simulator, node, lanlink, program, traffic, activity: the objects
    testbed      the tb-set-* commands
    ignored      what is accepted with a warning because it has no meaning here
    events       what is told to whom: the words after `$ns at TIME`
    script       Tcl text into commands; quantities: bandwidths, delays, times, losses, addresses
    networks     which LAN gets which network, in Emulab's order
    declare      the declared objects in the words of `models.spec`

Facts about the dialect (what a command means, defaults, the order of addresses) are those of Emulab's documentation and of its
parser's output; docs/ns.md lists every command and where this differs.
"""
