"""`python -m postroad` is `postroad`."""

from postroad.cli import main

main()
