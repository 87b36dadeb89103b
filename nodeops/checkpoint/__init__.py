"""A whole instance at one virtual instant, into a directory and back: container nodes, wires, conductor, clocks."""
