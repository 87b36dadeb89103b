"""The process that fires an instance's events in virtual time and follows their completion: `python -m nodeops.conductor INSTANCE_DIR`.

What it decides is a pure machine (`machine`, with `firing`, `programs`, `runs`, `recorder` on one `stage`): happenings in, outputs out, a
state that can be saved at any instant. What it does is around that: connections to inits (`nodes`) and wires (`network`), the memory that
survives a crash (`memory`), the control socket (`operations`), all on one loop (`service`).
"""
