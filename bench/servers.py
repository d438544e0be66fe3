"""What is measured: a Boss, the same with coalescing switched off, and a trivial endpoint of the same HTTP server.

Usage: python -m bench.servers uncoalesced serve --port PORT --database URL
       python -m bench.servers trivial PORT
"""

import asyncio
import sys
from typing import Any

import uvloop
from granian.constants import Interfaces
from granian.server.embed import Server
from starlette.types import Receive, Scope, Send

from boss.coalescer import Coalescer

_HEADERS = [(b"content-type", b"application/json")]


async def trivial(scope: Scope, receive: Receive, send: Send) -> None:
    """The least that an ASGI application can do: read the body, if any, and answer."""
    if scope["method"] == "POST":
        await receive()
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": b'{"ok":true}'})


async def _serve_trivial(port: int) -> None:
    server = Server(trivial, port=port, interface=Interfaces.ASGINL, websockets=False, log_enabled=False)
    await server.serve()


async def _alone(self: Coalescer[Any, Any], request: Any) -> Any:
    """Instead of Coalescer.__call__: a statement for every request, as many at once as there are connections."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await self._serve([(request, future)])
    return await future


def main() -> None:
    """Serve what the first argument says."""
    what = sys.argv.pop(1)
    if what == "trivial":
        uvloop.run(_serve_trivial(int(sys.argv[1])))
    else:
        Coalescer.__call__ = _alone  # type: ignore[method-assign]
        from boss.cli import app

        app()


if __name__ == "__main__":
    main()
