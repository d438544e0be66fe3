"""The command `boss`: one module for each group of commands."""

import sys

from boss.cli import admin, jobs, migrate, serve, work
from boss.cli.application import app

__all__ = ["app", "main"]

for group in (serve, migrate, work, jobs, admin):
    group.add_to(app)


def main() -> None:
    """Run the command. What comes after `--` is another program's command line, and is not looked at."""
    arguments = sys.argv[1:]
    end = arguments.index("--") if "--" in arguments else len(arguments)
    app(arguments[:end], obj=arguments[end + 1 :])
