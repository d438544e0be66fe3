"""`python -m boss` is the command `boss`."""

from boss.cli import main

main()
