"""One client's connection: its time-outs, its requests one after the other, and its responses.

Every phase has a time-out, so that no client holds a connection that it does not use. When a client hangs up before the
response to its take has been written, the take is undone.
"""

import asyncio
import socket
from collections import deque
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, cast

from boss.errors import BodyTimeout, BossError, Overloaded
from boss.http import phase, problems
from boss.http.delivery import Undos, abort, is_there, progress
from boss.http.phase import Phase
from boss.http.reader import RequestReader
from boss.http.request import Request
from boss.http.response import CONTINUE, LAST_CHUNK, MOST_JOINED_BYTES, Response, encode, encode_chunk
from boss.model.permissions import Principal

if TYPE_CHECKING:
    from boss.http.connections import Connections

_NEVER = float("inf")
_ENDED = asyncio.Protocol()


class Connection(asyncio.Protocol):
    """One connection, from its acceptance to its end.

    Attributes:
        settings: the limits.
        budget: the memory that all connections share.
        queue: requests that have arrived and wait for their turn.
        peer: the client's address.
        deadline: when the current phase times out, by the event loop's clock.
        unread_until: by when the client must have read something more of what was written.
    """

    __slots__ = (
        *("_accepted", "_connections", "_got", "_is_ended", "_is_in_doubt", "_is_streaming", "_paused", "_reader"),
        *("_refusal", "_serving", "_size", "_task", "_undos", "_unread", "_written"),
        *("budget", "deadline", "loop", "peer", "phase", "queue", "settings", "transport", "unread_until"),
    )

    transport: asyncio.Transport

    def __init__(self, connections: "Connections") -> None:
        self._connections = connections
        self.loop = connections.loop
        self.settings = connections.settings
        self.budget = connections.budget
        self.peer = ""
        self.phase = Phase.HANDSHAKE
        self.deadline = self.unread_until = _NEVER
        self.queue: deque[Request] = deque()
        self._reader = RequestReader(self, connections.settings.max_headers)
        self._serving: Request | None = None
        self._task: asyncio.Task[None] | None = None
        # The last response of this connection, when its input cannot be read.
        self._refusal: Response | None = None
        # Whether the client has ended its sending. It may still read.
        self._is_ended = False
        # The socket until the TLS handshake is over.
        self._accepted: socket.socket | None = None
        self._is_streaming = False
        # Whether a client that waits for a job has ended its sending, so that it may be gone.
        self._is_in_doubt = False
        # Set while the transport's write buffer is full. It is done once the client has read enough.
        self._paused: asyncio.Future[None] | None = None
        self._undos = Undos()
        # Bytes: written in all, of the last response, counted as unread in the budget; the last `delivery.progress`.
        self._written = self._size = self._unread = self._got = 0

    @property
    def is_writing(self) -> bool:
        """Whether the client has not read everything yet."""
        return self._accepted is None and not self.transport.is_closing() and self.transport.get_write_buffer_size() > 0

    def is_valid(self, principal: Principal) -> bool:
        """Whether the token that this principal came with is still valid."""
        return self._connections.is_valid(principal)

    def accept(self, accepted: socket.socket, peer: str) -> None:
        """A client has connected, and a TLS handshake begins."""
        self._accepted = accepted
        self.peer = peer
        self._connections.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; with TLS its handshake is over."""
        # uvloop's transports are no subclasses of asyncio's.
        self.transport = cast(asyncio.Transport, transport)
        is_new = self._accepted is None
        self._accepted = None
        self.phase = Phase.REQUEST
        self.deadline = self.loop.time() + min(phase.FIRST_BYTE_TIMEOUT_S, self.settings.header_timeout)
        if is_new:
            self.peer = (transport.get_extra_info("peername") or ("",))[0]
            self._connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self.phase is Phase.END or self._reader.is_refused:
            return
        if self._task is None and self._undos.pending:
            self._undos.pending.clear()
        self._reader.feed(data)
        if self.phase is Phase.REQUEST:
            self.phase = Phase.HEAD
            self.deadline = self.loop.time() + self.settings.header_timeout

    def eof_received(self) -> bool:
        """The client has ended its sending; it may still read its responses."""
        self._is_ended = self._undos.has_ended = True
        self._reader.end()
        # TLS cannot be half closed: a client that ends its sending has closed the connection.
        can_half_close = self.transport.can_write_eof()
        if self._task is None and not self.queue and not self._reader.ahead:
            if self._undos.pending:
                self._undos.settle(self.transport)
            return can_half_close and (bool(self._undos.pending) or self.is_writing)
        if self._is_streaming or not can_half_close or self._task is None:
            return can_half_close and not self._is_streaming
        if self._serving and self._serving.wait_s and self._serving.is_http_1_1 and not self._is_in_doubt:
            self._is_in_doubt = True
            self._task.cancel()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""
        self._is_ended = self._undos.is_lost = True
        # When the client had ended its sending before, even a reset shows as a broken pipe.
        self._undos.has_ended |= not isinstance(exc, ConnectionResetError)
        self.phase = Phase.END
        self._reader.close()
        self._connections.remove(self)
        # Without this only the garbage collector, which runs rarely, would free the 45 kB of a TLS connection.
        self.transport.set_protocol(_ENDED)
        self._set_unread(0)
        for request in self.queue:
            self.budget.used -= request.release()
        self.queue.clear()
        if self._paused and not self._paused.done():
            self._paused.set_result(None)
        if self._task and self._serving and (self._is_streaming or self._serving.ends_with_client):
            self._task.cancel()
        if self._undos.pending:
            self._undos.settle(self.transport)

    def pause_writing(self) -> None:
        """The transport's write buffer is full: the client reads too slowly."""
        self._paused = self.loop.create_future()
        self._await_reading()
        self._connections.slow(self)

    def resume_writing(self) -> None:
        """The client has read nearly everything."""
        self._connections.keeps_up(self)
        self._set_unread(0)
        if not self._is_streaming:
            self.unread_until = _NEVER
        if self._paused and not self._paused.done():
            self._paused.set_result(None)
        self._paused = None
        if self._task is None and self.phase is not Phase.END:
            self._next()

    def receive(self, request: Request) -> None:
        """The head of a request has arrived."""
        self.queue.append(request)
        if self._task is None and self._paused is None:
            self._next()

    def refuse(self, response: Response) -> None:
        """Send this response after those of all earlier requests, and read no further input."""
        self._refusal = response
        if self._task is None and self._paused is None:
            self._next()

    def slow_down(self, stop: bool) -> None:
        """Stop reading from the client for now, or go on."""
        if self._is_ended or self.transport.is_closing():
            return
        if stop:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def extend(self, seconds: float) -> None:
        """Give the request being served the usual time-out and so many seconds more, from now on."""
        if self.phase is not Phase.END:
            self.phase = Phase.RESPONSE
        self.deadline = self.loop.time() + phase.REQUEST_TIMEOUT_S + seconds

    def read_body(self, request: Request, expects: bool) -> None:
        """Receive the rest of a request's body, for which a handler waits."""
        if not self.budget.has_room(request.announced, request.announced):
            request.fail(Overloaded("other requests' bodies need the memory; send this one again"))
            return
        if self._is_ended:
            request.broke_off()
            return
        if expects:
            self._send(CONTINUE)
        if self.phase is not Phase.END:
            self.phase = Phase.BODY
        self.deadline = self.loop.time() + self.settings.body_timeout

    # Serving.

    def _next(self) -> None:
        """Serve the next request, if there is one."""
        if self._reader.ahead:
            self._reader.go_on()
            if self._task or self.phase is Phase.END:
                return
        if self.queue:
            request = self._serving = self.queue.popleft()
            self._connections.idle.pop(self, None)
            self._connections.busy += 1
            self._is_in_doubt = False
            self.phase = Phase.RESPONSE
            self.deadline = self.loop.time() + phase.REQUEST_TIMEOUT_S
            self._task = self.loop.create_task(self._serve(request))
        elif self._refusal:
            self._send(encode(self._refusal, "", True, True, self._connections.date))
            self._end()
        elif self._is_ended or self._connections.is_draining:
            self._end()
        else:
            self.phase = Phase.REQUEST
            self.deadline = self.loop.time() + self.settings.header_timeout

    async def _serve(self, request: Request) -> None:
        try:
            try:
                response = await self._connections.respond(request)
            except asyncio.CancelledError:
                if not await self._is_there():
                    raise
                response = await self._connections.respond(request)
            if response.events is None:
                self._write(request, response)
            else:
                await self._stream(request, response)
        except BossError:  # a stream cannot go on, and so it has no end that the client could take for its own
            self.abort()
        finally:
            self._task = self._serving = None
            self._is_streaming = False
            self.budget.used -= request.release()
            self._connections.finish(self)
            if self.phase is not Phase.END and self._paused is None:
                self._next()

    async def _is_there(self) -> bool:
        """Whether the client still waits for its take, which was cancelled because the client ended its sending."""
        if self.phase is Phase.END or not self._is_in_doubt or not self._task:
            return False
        self._task.uncancel()
        # Every HTTP/1.1 client skips an interim response (RFC 9110, 15.2). A closed socket answers it with a reset.
        self._send(CONTINUE)
        if await is_there(self.transport, self._written):
            return True
        self.abort()
        return False

    def _write(self, request: Request, response: Response) -> None:
        if self.phase is Phase.END or self.transport.is_closing():
            if response.undo:
                response.undo()
            return
        is_last = self._is_last(request)
        data = encode(response, request.method, request.is_http_1_1, is_last, self._connections.date)
        body = response.body if len(response.body) > MOST_JOINED_BYTES and request.method != "HEAD" else b""
        self._size = len(data) + len(body)
        if response.undo:
            self._undos.add(self.transport, response.undo, self._written, self._size)
        self._written += self._size
        self.transport.write(data)
        if body:
            self.transport.write(body)
        if is_last:
            self._end()

    def _send(self, data: bytes) -> None:
        self._written += len(data)
        if not self.transport.is_closing():
            self.transport.write(data)

    def _is_last(self, request: Request) -> bool:
        """Whether the connection closes after the response to this request."""
        return (
            not request.keep_alive
            # Where the next request would begin is unknown.
            or not request.is_complete
            or (self._is_ended and not (self.queue or self._reader.ahead or self._refusal))
            or self._connections.is_draining
        )

    async def _stream(self, request: Request, response: Response) -> None:
        assert response.events
        is_last = not request.is_http_1_1 or self._is_last(request)
        self._is_streaming = True
        self.deadline = _NEVER
        self._size = 0
        # A stream sends something every few seconds. If the client reads none of it, it piles up in the kernel.
        self._await_reading()
        self._send(encode(response, request.method, request.is_http_1_1, is_last, self._connections.date))
        if request.method != "HEAD":
            async with aclosing(response.events) as events:
                async for event in events:
                    self._send(encode_chunk(event, request.is_http_1_1))
                    if self._paused:
                        await self._paused
            if request.is_http_1_1:
                self._send(LAST_CHUNK)
        self.unread_until = _NEVER
        if is_last:
            self._end()

    def _end(self) -> None:
        """Close the connection once the client has read what was written."""
        if self._undos.pending and self._is_ended:
            self.phase = Phase.END
            self.deadline = _NEVER
            self._undos.settle(self.transport)
            return
        is_closed = self.phase is Phase.END
        self.phase = Phase.END
        self.deadline = self.loop.time() + (phase.LINGER_S if self.transport.can_write_eof() else phase.TLS_LINGER_S)
        if self.transport.get_write_buffer_size():
            self._await_reading()
        if self._is_ended or is_closed or self.transport.is_closing():
            self.transport.close()
        elif self.transport.can_write_eof():
            self.slow_down(stop=False)
            self.transport.write_eof()
        elif self._reader.reading is None:
            self.transport.close()

    def close_idle(self) -> None:
        """Close the connection if it waits for a request."""
        if self.phase is Phase.REQUEST:
            self.phase = Phase.END
            self.transport.close()

    def abort(self) -> None:
        """Close the connection at once, whatever is under way."""
        self._set_unread(0)
        self.deadline = self.unread_until = _NEVER
        if self._accepted is None:
            abort(self.transport)
            return
        with suppress(OSError):  # the client has closed it already
            self._accepted.shutdown(socket.SHUT_RDWR)

    def check_time(self, now: float) -> None:
        """Act on the time-outs that have expired."""
        if now > self.deadline:
            self._expire(now)
        if self.unread_until is not _NEVER:
            self._check_unread(now)

    def _expire(self, now: float) -> None:
        if self.phase is Phase.REQUEST:
            if self._paused is None:
                self.close_idle()
        elif self.phase is Phase.HEAD:
            self._reader.is_refused = True
            self.refuse(problems.to_response(BodyTimeout("the headers did not arrive in time; send them at once")))
        elif self.phase is Phase.BODY and self._serving:
            self._serving.fail(BodyTimeout())
        elif self.phase is Phase.RESPONSE and self._task and self._serving:
            self._serving.late_cancels += 1
            self._task.cancel()
            self.deadline = now + phase.CANCEL_AGAIN_S
        elif self.phase is Phase.HANDSHAKE or not self.transport.get_write_buffer_size():
            self.abort()

    def _await_reading(self) -> None:
        # The memory of a response is freed only once the kernel has all of it, so all of it counts in the budget.
        self._set_unread(max(self._size, self.transport.get_write_buffer_size()))
        self._got = progress(self.transport)
        self.unread_until = self.loop.time() + phase.UNREAD_TIMEOUT_S

    def _check_unread(self, now: float) -> None:
        if (got := progress(self.transport)) > self._got:
            self._got = got
            self.unread_until = now + phase.UNREAD_TIMEOUT_S
            if self._paused:
                self._connections.slow(self)
        elif now > self.unread_until:
            self.abort()

    def _set_unread(self, unread: int) -> None:
        self.budget.used += unread - self._unread
        self._unread = unread
