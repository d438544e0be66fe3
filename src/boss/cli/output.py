"""Standard output and error of a command: they carry every character, and what cannot be written is noticed."""

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class CannotWrite(Exception):
    """Standard output takes no more; no OSError, for Typer and rich end a command at one in ways of their own.

    `unread` is whether whoever read it has seen enough.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {error.strerror}")
        self.unread = isinstance(error, BrokenPipeError)


class _Output(io.FileIO):
    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # What is left of it is let be: Python would try once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise CannotWrite(error) from None


class _Errors(io.FileIO):
    """What cannot be said there must not change how the command ends."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Have the standard streams so. For what the encoding does not have stand JSON's escapes: JSON stays JSON."""
    codecs.register_error("boss", _escaped)
    for number in range(3):
        _fill(number)
    if not sys.stdin:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it lasts as long as the process)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Errors(2, "w", closefd=False), sys.stderr)


def _fill(number: int) -> None:
    """Open something in place of a stream that was closed, lest the next file that is opened becomes it."""
    try:
        os.fstat(number)
    except OSError:
        # Standard output that is closed is nowhere to write to.
        file = os.open(os.devnull, os.O_WRONLY if number == 2 else os.O_RDONLY)
        if file != number:
            os.dup2(file, number)
            os.close(file)


def _text(file: io.FileIO, before: TextIO | None) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(file),
        encoding=before.encoding if before else None,
        errors="boss",
        line_buffering=file.isatty() or file.fileno() == 2,
    )


def _escaped(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4)), error.end
