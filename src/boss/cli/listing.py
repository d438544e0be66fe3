"""Print a list of jobs that fits the terminal. No name is cut; columns without room are left out."""

import shutil
import sys
from typing import Any
from unicodedata import east_asian_width

import typer

from boss.cli.application import printable
from boss.cli.times import ago
from boss.client.json_text import exact

_HEADINGS = ("state", "source", "id", "attempt", "last", "by", "result")
# How many columns are always shown, if need be with the id on a line of its own; and the least width of a result.
_NEEDED, _LEAST_RESULT = 5, 12
_GAP = "  "


def print_jobs(jobs: list[dict[str, Any]]) -> None:
    """Print a line for each job. In a pipe nothing is left out."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    rows = [_HEADINGS, *(_row(job) for job in jobs)]
    # The last column is not padded, and may be long.
    *columns, results = zip(*rows, strict=True)
    widths = [*(max(map(_width, column)) if any(column[1:]) else 0 for column in columns), int(any(results[1:]))]
    if width is not None and sum(widths[:_NEEDED]) + len(_GAP) * (_NEEDED - 1) > width:
        for state, source, id, attempt, last, *_ in rows[1:]:
            typer.echo(f"{id}\n  {state}{_GAP}{source}{_GAP}{attempt}{_GAP}{last}")
        return
    for row in rows:
        typer.echo(_line(row, widths, width))


def _line(row: tuple[str, ...], widths: list[int], width: int | None) -> str:
    line = ""
    for number, (cell, room) in enumerate(zip(row, widths, strict=True)):
        if not room:  # no job has a token's name or a result
            continue
        gap = _GAP if line else ""
        left = None if width is None else width - _width(line + gap)
        if left is not None and number >= _NEEDED and left < max(room, _LEAST_RESULT):
            break
        line += gap + (cell if left is None else _cut(cell, left))
        line += " " * (room - _width(cell) if number < len(row) - 1 else 0)
    return line.rstrip()


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    result = exact(job["result"]) if job["result"] is not None else ""
    attempt = f"{job['attempt']}/{job['attempts']}"
    return job["state"], job["source"], job["id"], attempt, _last(job), _who(job), printable(result)


def _last(job: dict[str, Any]) -> str:
    """What happened to the job last, or will happen next."""
    if job["finished"]:
        return f"{job['outcome']} {ago(job['finished'])}"
    if job["state"] == "active":
        return f"taken {ago(job['taken'])}"
    if job["due"]:
        return f"due {ago(job['due'])}"
    if job["state"] == "available" and job["blocked"]:
        return "waits for other jobs"
    if job["history"]:
        return f"{job['history'][-1]['how']} {ago(job['history'][-1]['ended'])}"
    return f"submitted {ago(job['submitted'])}"


def _who(job: dict[str, Any]) -> str:
    """The names of the tokens that submitted, took and finished the job; empty when none was needed."""
    names = (job["submitted_by"], job["taken_by"], job["finished_by"])
    return " → ".join(name or "-" for name in names) if any(names) else ""


def _width(text: str) -> int:
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)


def _cut(text: str, room: int) -> str:
    """The beginning of a text that fits, with … when it was cut."""
    if len(text) <= room and _width(text) <= room:
        return text
    text = text[:room]
    while _width(text) >= room:
        text = text[:-1]
    return f"{text}…"
