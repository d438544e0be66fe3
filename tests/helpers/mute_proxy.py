"""A proxy to PostgreSQL that goes mute: from some moment on it passes nothing on, and closes no connection."""

import contextlib
import socket
import threading
from collections.abc import Iterator


class MuteProxy:
    """Passes everything on, until it is told to stop or has passed on so many of the server's answers.

    Args:
        port: the server's port.
        messages: how many of the server's answers it passes on, each as it arrives in one piece; None for all.
    """

    def __init__(self, port: int, messages: int | None = None) -> None:
        self._server = port
        self._left = messages
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self.is_mute = threading.Event()
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._sockets.append(client)
                server = socket.create_connection(("127.0.0.1", self._server))
                self._sockets.append(server)
                threading.Thread(target=self._hand_on, args=(client, server, False), daemon=True).start()
                threading.Thread(target=self._hand_on, args=(server, client, True), daemon=True).start()

    def _hand_on(self, source: socket.socket, target: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 20):
                if counted and self._left is not None:
                    self._left -= 1
                    if self._left < 0:
                        self.is_mute.set()
                if self.is_mute.is_set():
                    return
                target.sendall(data)
            if not self.is_mute.is_set():
                target.close()

    def close(self) -> None:
        """Close the proxy and all its connections."""
        self._end(self._listening)
        # A handler may be about to connect to the server.
        self._accepting.join()
        for each in self._sockets:
            self._end(each)

    def _end(self, each: socket.socket) -> None:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


@contextlib.contextmanager
def mute_proxy(port: int, messages: int | None = None) -> Iterator[MuteProxy]:
    """Run a mute proxy; it is closed at the end of the block."""
    proxy = MuteProxy(port, messages)
    try:
        yield proxy
    finally:
        proxy.close()
