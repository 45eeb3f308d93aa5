"""HTTP answers that are no MCP, one for each path. Runs inside the tests: `async with serving() as port`.

/status/CODE     answers with that status; 429 and 503 with Retry-After
/html            a page
/broken-json     says JSON and sends something else
/redirect?URL    redirects there, keeping the method
/hang            never answers
/reset           closes the connection without an answer
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote


@dataclass
class Rubbish:
    """The running server: its port, and the head of every request that it got."""

    port: int = 0
    requests: list[str] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"


@asynccontextmanager
async def serving() -> AsyncIterator[Rubbish]:
    rubbish = Rubbish()
    open_connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        try:
            await _answer(reader, writer, rubbish)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            open_connections.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    rubbish.port = server.sockets[0].getsockname()[1]
    try:
        yield rubbish
    finally:
        server.close()
        for task in tuple(open_connections):
            task.cancel()
        await asyncio.gather(*open_connections, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rubbish: Rubbish) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    rubbish.requests.append(head)
    target = head.split(" ", 2)[1]
    match target.split("/", 2)[1:]:
        case ["status", code]:
            extra = "Retry-After: 17\r\n" if code in ("429", "503") else ""
            writer.write(f"HTTP/1.1 {code} Oh\r\n{extra}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        case ["html"]:
            writer.write(_page("text/html", "<html>Welcome</html>"))
        case ["broken-json"]:
            writer.write(_page("application/json", '{"jsonrpc": "2.0", '))
        case [name, *_] if name.startswith("redirect?"):
            location = unquote(target.partition("?")[2])
            writer.write(
                f"HTTP/1.1 307 There\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
            )
        case ["hang"]:
            await asyncio.Event().wait()
        case _:
            return
    await writer.drain()


def _page(content_type: str, body: str) -> bytes:
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return (head + body).encode()
