"""`python -m swapbed.controller`: the controller of this installation, until told to stop."""

from swapbed.controller.process import main

main()
