"""`swapbed search`: its language, and what meets a query."""
