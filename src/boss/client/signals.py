"""Handle SIGTERM, Ctrl-C and the end of a terminal (SIGHUP), even while the main thread is blocked."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# How long the process may take to end after the second signal, in seconds.
_LAST_S = 2.0


@contextmanager
def heard(first: Callable[[], None], second: Callable[[int], None]) -> Iterator[None]:
    """Call `first` at the first of these signals, and `second` with the number of each later one.

    SIGHUP stays ignored where it is ignored already (nohup). Both functions are called in a thread of their own: a
    handler could not run while the main thread is blocked. A process that still runs two seconds after the second
    signal is ended by force.
    """
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    signals = [number for number in _SIGNALS if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, _ignore) for number in signals}
    wakeup = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_hear, args=(ours, first, second), name="boss-signals", daemon=True).start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        theirs.close()


def _ignore(*_: object) -> None:
    """Python writes the signal's number to the socket before it calls this."""


def _hear(ours: socket.socket, first: Callable[[], None], second: Callable[[int], None]) -> None:
    heard = 0
    with ours:
        while numbers := ours.recv(1):
            number = numbers[0]
            if number not in _SIGNALS:
                continue
            heard += 1
            if heard == 1:
                first()
                continue
            end_by_force(exit_code(number))
            second(number)


def end_by_force(code: int) -> None:
    """End the process with this exit code if it still runs in two seconds."""
    timer = threading.Timer(_LAST_S, os._exit, [code])
    timer.daemon = True
    timer.start()


def exit_code(number: int) -> int:
    """The exit code of a process that a signal ended, by the custom of shells."""
    return 128 + number
