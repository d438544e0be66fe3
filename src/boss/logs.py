"""How the server logs: JSON, one object a line, or, on a terminal, lines to be read by a person. To standard error."""

import logging
import sys
from collections.abc import Mapping
from contextlib import suppress

import orjson
import structlog

from boss import journal

_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


def configure(quiet: bool) -> None:
    """Log from now on; when quiet, without a line for each move of a job."""
    terminal = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=terminal)
    last: list[structlog.typing.Processor] = (
        [console] if terminal else [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer(_as_text)]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if not quiet:
        journal.write = _write_to_terminal(console) if terminal else _write_json


def _as_text(event: Mapping[str, object], **_: object) -> str:
    return orjson.dumps(event, default=str).decode()


def _write_json(lines: list[dict[str, object]]) -> None:
    # What is written down has happened; that nobody reads it any more must not become an error of who asked for it.
    with suppress(OSError, ValueError):
        sys.stderr.buffer.write(b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines))
        sys.stderr.buffer.flush()


def _write_to_terminal(console: structlog.dev.ConsoleRenderer) -> "journal.Write":
    def write(lines: list[dict[str, object]]) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write("".join(f"{console(None, '', line)}\n" for line in lines))

    return write
