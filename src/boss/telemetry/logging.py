"""The server's log, on standard error: JSON, one object a line; on a terminal, lines for people.

No line has a document, result, note, token or password. Of any error, caught or not and whoever logs it, the log shows
only what tracebacks.py makes of it.
"""

import logging
import re
import sys
import threading
from collections.abc import Iterable, Mapping, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any

import orjson

# structlog imports rich where it is installed, to draw tracebacks, which Boss draws itself (tracebacks.py). That took a
# quarter of the time in which Boss starts, so while structlog is imported there is no rich.
if is_without_rich := "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
import structlog

if is_without_rich:
    del sys.modules["rich"]

from boss.telemetry import job_log
from boss.telemetry.job_log import JobEvent
from boss.telemetry.tracebacks import as_text, tell

log = logging.getLogger("boss")

_SHARED: list[structlog.typing.Processor] = [
    structlog.stdlib.add_log_level,
    structlog.stdlib.PositionalArgumentsFormatter(),
    structlog.stdlib.ExtraAdder(allow=["status", "by", "address"]),
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]
# The part of other loggers' messages that is kept. asyncio's messages are cut before futures and callbacks, which show
# values. A warning is cut to its file, its line and its category.
_KEPT = {"asyncio": re.compile(r"[\w .,'-]*"), "py.warnings": re.compile(r"[^:]*:\d+: \w+")}


def configure(quiet: bool) -> None:
    """Start logging; when `quiet`, without the job log."""
    terminal = sys.stderr.isatty()
    console = structlog.dev.ConsoleRenderer(colors=terminal)
    last: list[structlog.typing.Processor] = (
        [_errors_as_text, console] if terminal else [_errors, structlog.processors.JSONRenderer(_as_text)]
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_SHARED, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    for name in _KEPT:
        logging.getLogger(name).addFilter(_kept_only)
    _log_what_nobody_catches()
    if not quiet:
        job_log.write = _write_to_terminal(console) if terminal else _write_json


def _errors(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace an error with what the log may show of it."""
    found = event.pop("exc_info", None)
    error = found[1] if isinstance(found, tuple) else found
    if isinstance(error, BaseException):
        event["exception"] = tell(error)
    return event


def _errors_as_text(logger: object, name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event = _errors(logger, name, event)
    if "exception" in event:
        event["exception"] = as_text(event["exception"])
    return event


def _kept_only(record: logging.LogRecord) -> bool:
    found = _KEPT[record.name].match(record.getMessage())
    record.msg, record.args = (found[0] if found else ""), ()
    return True


def _log_what_nobody_catches() -> None:
    def of_main(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("Boss has failed", exc_info=error)

    sys.excepthook = of_main
    threading.excepthook = lambda failed: log.error("a thread has failed", exc_info=failed.exc_value)
    sys.unraisablehook = lambda failed: log.error("an error in passing", exc_info=failed.exc_value)


def _as_text(event: Mapping[str, object], **_: object) -> str:
    return orjson.dumps(event, default=str).decode()


def _write_json(what: str, now: str, events: Iterable[JobEvent]) -> None:
    # The events have happened already. If standard error is closed, the request must not fail because of it.
    with suppress(OSError, ValueError):
        sys.stderr.buffer.write(job_log.as_json(what, now, events).encode())
        sys.stderr.buffer.flush()


def _write_to_terminal(console: structlog.dev.ConsoleRenderer) -> job_log.Write:
    def write(what: str, now: str, events: Iterable[JobEvent]) -> None:
        with suppress(OSError, ValueError):
            lines = map(orjson.loads, job_log.as_json(what, now, events).splitlines())
            sys.stderr.write("".join(f"{console(None, '', line)}\n" for line in lines))

    return write
