"""Servers to compare Boss with: Boss with coalescing switched off, and a trivial endpoint of the same HTTP server.

Usage: python -m bench.servers uncoalesced serve --port PORT --database URL
       python -m bench.servers trivial PORT
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import uvloop

from boss.coalescer import Coalescer
from boss.http.connections import Connections
from boss.http.request import Request
from boss.http.response import JSON, Response
from boss.http.server import listening, listening_sockets
from boss.settings import Settings

_MOST_BYTES = 1024


async def trivial(request: Request) -> Response:
    """The least that a handler can do: read the body, if there is one, and respond."""
    if request.method == "POST":
        await request.body(_MOST_BYTES, "a body")
    return Response(200, [JSON], b'{"ok":true}')


async def _serve_trivial(port: int) -> None:
    settings = Settings(data=Path(), port=port)
    sockets = await listening_sockets(settings)
    async with listening(Connections(trivial, lambda _: True, settings), settings, sockets):
        await asyncio.Event().wait()


async def _alone(self: Coalescer[Any, Any], request: Any) -> Any:
    """Replaces Coalescer.__call__: one statement for every request, as many at once as there are connections."""
    future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    await self._serve([(request, future)])
    return await future


def main() -> None:
    """Serve what the first argument names."""
    what = sys.argv.pop(1)
    if what == "trivial":
        uvloop.run(_serve_trivial(int(sys.argv[1])))
    else:
        Coalescer.__call__ = _alone  # type: ignore[method-assign]
        from boss.cli import app

        app()


if __name__ == "__main__":
    main()
