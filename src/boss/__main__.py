"""`python -m boss` is the command `boss`."""

from boss.cli import app

app()
