"""Standard output and error of a command. They can write every character, and a failed write is an error."""

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class CannotWrite(Exception):
    """Standard output cannot be written to. It is no OSError, because Typer and rich handle those in their own ways.

    `unread` is whether its reader has closed it.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot write to standard output: {error.strerror}")
        self.unread = isinstance(error, BrokenPipeError)


class _Output(io.FileIO):
    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            # The rest of the output goes to /dev/null. Otherwise Python would try to write it again as it exits.
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise CannotWrite(error) from None


class _Errors(io.FileIO):
    """Standard error. A failed write there must not change the exit code."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def prepare() -> None:
    """Set up the standard streams.

    A character that the encoding does not have is written as a JSON escape, so that JSON stays JSON.
    """
    codecs.register_error("boss", _escaped)
    for number in range(3):
        _fill(number)
    if not sys.stdin:
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (it lasts as long as the process)
    sys.stdout = _text(_Output(1, "w", closefd=False), sys.stdout)
    sys.stderr = _text(_Errors(2, "w", closefd=False), sys.stderr)


def _fill(number: int) -> None:
    """Open /dev/null in place of a closed stream. Otherwise the next file that is opened would become the stream."""
    try:
        os.fstat(number)
    except OSError:
        # Standard output becomes read-only, so that a write to it is still an error.
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
