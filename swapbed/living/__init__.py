"""The verbs on what lives: programs, files, links, events, runs, captures, recordings and checkpoints of an instance."""
