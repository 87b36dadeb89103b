"""Nodes of kind `vm`: QEMU, whose own clocks stand still with it, and whose RAM is a shared file that can be chunked in place."""
