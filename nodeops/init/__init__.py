"""Process 1 of every node (C, see the Makefile) and the clients that talk to it."""
