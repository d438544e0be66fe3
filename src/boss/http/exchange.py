"""One request and its answer, without the cost of Starlette's Request and Response on the hot routes.

A handler is `async (Ask) -> Answer`; a `Resource` is the table of handlers at one path, by method.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from time import perf_counter
from urllib.parse import parse_qsl, unquote

from prometheus_client import Histogram
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from boss import metrics, tracing
from boss.access import Access, Right
from boss.errors import DATABASE_AWAY, BadInput, BossError, DatabaseAway, ElseThan, NotSignedIn, TooLarge, TooSlow
from boss.http import guard, problems
from boss.http.deadlines import Deadline, Deadlines
from boss.http.problems import NO_STORE as NO_STORE
from boss.http.problems import Answer
from boss.http.refusals import REFUSALS, Refusals

JSON = (b"content-type", b"application/json")
NDJSON = "application/x-ndjson"
# So many takes under way at a path are looked at from the start, for a client that hangs up. To look costs two trips to
# the thread that has the connections, as much as a whole take, so further ones are looked at only when they take long.
_FEW = 8
_LONG = 0.1  # seconds
# What stands in a request's scope once its body was read to its end.
_READ = "body_read"
_CLOSE = (b"connection", b"close")
# So much more than it may be is read of a body before it is refused: to a proxy that still sends, an answer on a
# connection that then closes is an error, and its client gets 502 instead of 413.
_MOST_DISCARDED_BYTES = 32 * 1024 * 1024
# How long a request may take from its arrival, that is from the end of its body, in seconds. Only the database takes
# long: a statement has as much, but there may be one to wait for first, and more than one to come.
_REQUEST_TIMEOUT_S = 10
_HTTP_1 = ("1.0", "1.1")
_LENGTH = re.compile("[0-9]{1,18}")
_refusals = Refusals()


class Ask:
    """A request: its method, the decoded parts of its path, its query, headers and body."""

    __slots__ = ("_receive", "_scope", "_watch", "deadline", "method", "path")

    def __init__(self, scope: Scope, receive: Receive, watch: "Watch | None" = None) -> None:
        self._scope = scope
        self._receive = receive
        self._watch = watch
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.deadline: Deadline | None = None

    @property
    def deadlines(self) -> Deadlines:
        """All deadlines there are."""
        deadlines: Deadlines = self._scope["deadlines"]
        return deadlines

    @property
    def access(self) -> Access:
        """What whoever asks may do."""
        access: Access = self._scope["access"]
        return access

    def has(self, name: str) -> bool:
        """Whether the route has a part of that name."""
        return name in self._scope["path_params"]

    def part(self, name: str) -> str:
        """A part of the path by its name in the route, percent-decoded."""
        part: str = self._scope["path_params"][name]
        return unquote(part) if "%" in part else part

    def header(self, name: bytes) -> str | None:
        """A header's value by its lower-case name; None when it was not sent. Several lines are one (RFC 9110, 5.3)."""
        return _header(self._scope, name)

    def query(self, known: Iterable[str] = ()) -> Mapping[str, str]:
        """The query's parameters, each at most once and one of `known`.

        Raises:
            BadInput: there is another, or one twice.
        """
        text: bytes = self._scope["query_string"]
        if not text:
            return {}
        found: dict[str, str] = {}
        for name, value in _pairs(text):
            if name not in known:
                raise BadInput(f"{name!a} is not a parameter here; {_listed(known)}")
            if name in found:
                raise BadInput(f"the parameter {name} is there twice")
            found[name] = value
        return found

    async def body(self, most: int, what: str) -> bytes:
        """The whole body, however it was sent.

        Raises:
            TooLarge: it has more than `most` bytes; `what` is what the sentence calls it.
            BadInput: it broke off, or is compressed.
            TooSlow: it did not come in time.
            NotSignedIn: the token that it came with has ended meanwhile.
        """
        announced = self.header(b"content-length")
        if _is_without_body(self._scope, announced):
            self._scope[_READ] = True
            return b""
        if (encoding := self.header(b"content-encoding") or "identity") != "identity":
            raise BadInput(f"{what} is sent with Content-Encoding {encoding}; send it as it is")
        length = _length(announced)
        # Who waits for 100 Continue has sent nothing yet.
        discarded = 0 if self.header(b"expect") else _MOST_DISCARDED_BYTES
        if length is not None and length > most + discarded:
            raise _too_large(what, most)
        if self.deadline:
            self.deadline.pause()
        with Deadline(self.deadlines, self._scope["body_timeout"], lambda: self._too_slow(what)):
            body = await self._whole_body(length, most, what)
        if self.deadline:
            self.deadline.restart()
        # Who sends slowly was let in a while ago.
        if not self._scope["count"](self.access):
            raise NotSignedIn(f"the token counts no more: it ended before all of {what} was there")
        return body

    def _too_slow(self, what: str) -> TooSlow:
        return TooSlow(f"{what} was not there after {self._scope['body_timeout']:g} s; send it at once")

    async def _whole_body(self, length: int | None, most: int, what: str) -> bytes:
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BadInput(f"{what} broke off after {size} bytes")
            chunk: bytes = message.get("body", b"")
            size += len(chunk)
            if size <= most:
                chunks.append(chunk)
            else:
                chunks.clear()
            # When the length was announced, the end is known without asking for it.
            ended = size == length or not message.get("more_body")
            if ended:
                self._scope[_READ] = True
            if size > most and (ended or size > most + _MOST_DISCARDED_BYTES):
                raise _too_large(what, most)
            if ended:
                return b"".join(chunks)

    def wait(self, seconds: float) -> None:
        """The answer may be so long in coming: until then a client that hangs up cancels its request."""
        if self._watch:
            self._watch.start()
        if self.deadline:
            self.deadline.restart(seconds)


Handler = Callable[[Ask], Awaitable[Answer]]


class Resource:
    """What is at one path: a handler for each method. An ASGI application, for a Starlette route.

    HEAD is answered by its own handler, or else by GET's without the body.

    Args:
        path: where it is, with the names of parts that vary: what its times are kept under.
        handlers: the handler for each method.
        taking: the method that takes jobs, if one does: its handler is cancelled when the client hangs up, so that
            nothing is taken for nobody. It cannot read a body.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler], taking: str | None = None) -> None:
        self.path = path
        self._times: dict[tuple[str, int], Histogram] = {}
        self._handlers = dict(handlers)
        self._taking = taking
        if "GET" in handlers:
            self._handlers.setdefault("HEAD", handlers["GET"])
        self._rights = {method: guard.right_of(handler) for method, handler in self._handlers.items()}
        self._allow = ", ".join(sorted(self._handlers))
        # Asked for once: in CPython 3.11 get_running_loop() is a system call.
        self._loop = asyncio.get_running_loop()
        self._takes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever a handler raises becomes a problem."""
        if tracing.tracer is None:
            await self._respond(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in self._handlers else "other"
        name, came_with = f"{method} {self.path}", Ask(scope, receive).header(b"traceparent")

        async def note(message: Message) -> None:
            if message["type"] == "http.response.start":
                span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        with tracing.request_span(name, method, self.path, came_with) as span:
            await self._respond(scope, receive, note)

    async def _respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter()
        handler = self._handlers.get(scope["method"])
        if handler is None:
            answer = problems.wrong_method(scope["method"], self._allow)
        elif refusal := _refusal(scope, self._rights[scope["method"]]):
            answer = refusal
        elif scope["method"] == self._taking:
            await self._answer_unless_gone(handler, scope, receive, send, started)
            return
        else:
            answer = await self._answered(handler, Ask(scope, receive))
        self._time(scope["method"], answer.status, started)
        await write(answer, scope, send)

    async def _answered(self, handler: Handler, ask: Ask) -> Answer:
        try:
            with Deadline(ask.deadlines, _REQUEST_TIMEOUT_S, _late) as ask.deadline:
                return await handler(ask)
        except BossError as error:
            return problems.of(_seen(error, ask.access))
        except Exception:
            return problems.unforeseen(ask.method, self.path)

    def _time(self, method: str, status: int, started: float) -> None:
        times = self._times.get((method, status))
        if times is None:
            # Whatever a client thinks up as a method must not become a label.
            known = method if method in self._handlers else "other"
            times = self._times[known, status] = metrics.REQUESTS.labels(known, self.path, status)
        times.observe(perf_counter() - started)

    async def _answer_unless_gone(
        self, handler: Handler, scope: Scope, receive: Receive, send: Send, started: float
    ) -> None:
        watch = Watch(receive, self._loop)
        self._takes += 1
        if self._takes <= _FEW:
            watch.start()
        try:
            answer = await self._answered(handler, Ask(scope, receive, watch))
        except asyncio.CancelledError:
            if watch.gone and not watch.task.uncancel():
                return
            raise
        finally:
            watch.end()
            self._takes -= 1
        self._time(scope["method"], answer.status, started)
        await write(answer, scope, send)


def route(path: str, handlers: Mapping[str, Handler]) -> Route:
    """The route of a resource."""
    return Route(path, Resource(path, handlers))


def _too_large(what: str, most: int) -> TooLarge:
    return TooLarge(f"{what} is larger than {most} bytes, which is the most this Boss takes")


def _refusal(scope: Scope, right: Right) -> Answer | None:
    try:
        guard.check(scope, right)
    except BossError as error:
        return problems.of(error)
    return None


def _late() -> DatabaseAway:
    return DatabaseAway(DATABASE_AWAY)


def _seen(error: BossError, access: Access) -> BossError:
    """The same error, without a word about a job of a source that is not theirs to see."""
    if not isinstance(error, ElseThan) or error.source is None or access.reaches(error.source):
        return error
    return type(error)(error.unseen, None)


class Watch:
    """Cancels the task of a request whose client hangs up before it is over; looks at the latest when it takes long.

    Granian's receive() gives a future, whose callback costs less than a task that waits for it.
    """

    def __init__(self, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        task = asyncio.current_task(loop)
        assert task
        self.task = task
        self._receive = receive
        self._over = self._started = False
        self._timer = loop.call_later(_LONG, self.start)
        self.gone = False

    def start(self) -> None:
        """Look from now on, instead of in a moment."""
        if not self._started:
            self._started = True
            self._timer.cancel()
            self._look()

    def end(self) -> None:
        """The answer is there: whoever hangs up now is not noticed."""
        self._over = True
        self._timer.cancel()

    def _look(self) -> None:
        asyncio.ensure_future(self._receive()).add_done_callback(self._heard)

    def _heard(self, message: "asyncio.Future[Message]") -> None:
        if self._over or message.cancelled():
            return
        if message.result()["type"] == "http.disconnect":
            self.gone = True
            self.task.cancel()
        else:  # a part of the body
            self._look()


async def write(answer: Answer, scope: Scope, send: Send) -> None:
    """Send the answer to a request; a HEAD gets its headers only."""
    method, headers = scope["method"], answer.headers
    if answer.status in REFUSALS:
        _note_refusal(answer.status, scope)
    if _READ not in scope and _leaves_body(scope):
        # No other request can come after a body that was not read to its end, so Granian closes the connection; but it
        # says so only if it knows by now, and a client that is not told sends its next request for nothing.
        headers = [*headers, _CLOSE]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})


def _note_refusal(status: int, scope: Scope) -> None:
    access: Access | None = scope.get("access")
    client = scope["client"]
    _refusals.note(status, access and access.name, client[0] if client else "")


def _leaves_body(scope: Scope) -> bool:
    """Whether this request, whose body nobody has read, has one that keeps others from coming after it."""
    # GET and HEAD come by the thousand, and without one; over HTTP/2 each request has a stream of its own.
    return (
        scope["method"] not in ("GET", "HEAD")
        and scope["http_version"] in _HTTP_1
        and not _is_without_body(scope, _header(scope, b"content-length"))
    )


def _is_without_body(scope: Scope, announced: str | None) -> bool:
    """Whether a request with this Content-Length, or none, has no body, as far as its headers tell (RFC 9112, 6.3)."""
    if announced is not None:
        return announced == "0"
    return scope["http_version"] in _HTTP_1 and _header(scope, b"transfer-encoding") is None


def _length(announced: str | None) -> int | None:
    """What Content-Length says. The same more than once is once; of anything else nobody knows where it ends.

    RFC 9110, 8.6. int() would take `+2` and `2_0`, too.
    """
    if announced is None:
        return None
    [length, *others] = {each.strip() for each in announced.split(",")}
    if others or not _LENGTH.fullmatch(length):
        raise BadInput(f"the Content-Length is {announced[:120]!a}; it takes one number of bytes")
    return int(length)


def _header(scope: Scope, name: bytes) -> str | None:
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return ", ".join(lines) if lines else None


def _pairs(text: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            text.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            max_num_fields=20,
            errors="strict",
        )
    except ValueError:
        raise BadInput("the query cannot be read: write it as ?name=value&name=value, percent-encoded") from None


def _listed(known: Iterable[str]) -> str:
    names = ", ".join(sorted(known))
    return f"known are: {names}" if names else "there are none"
