"""An MCP server on the official SDK with tools that go wrong on demand. Started by the integration and e2e tests.

python misbehaving.py                      speak MCP on standard input and output
python misbehaving.py --http PORT          serve Streamable HTTP on loopback; 0 takes a free port and prints it
--legacy                                   know no discovery, so that clients fall back to the handshake
--stateless                                keep no sessions
--banner TEXT                              print TEXT to standard output before anything else
--complain TEXT                            print TEXT to standard error before anything else
--exit CODE                                then end with CODE instead of serving
--only-once FILE                           end with code 9 at every start after the first, which FILE remembers
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Elicit, Image, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

server = MCPServer("misbehaving", version="1.2.3", instructions="Handle with care.")
calls = 0
inside = 0
most_inside = 0


@server.tool(title="Adder", annotations=ToolAnnotations(read_only_hint=True, idempotent_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def count() -> dict[str, int]:
    """Count the calls to this very process."""
    global calls
    calls += 1
    return {"calls": calls, "pid": os.getpid()}


@server.tool(annotations=ToolAnnotations(destructive_hint=True))
def crash() -> str:
    """End the process in the middle of the call."""
    print("giving up: out of patience", file=sys.stderr, flush=True)
    os._exit(7)


@server.tool()
async def slow(seconds: float, ctx: Context[Any, Any], mark: str = "", begun: str = "") -> str:
    """Take a while, reporting progress; make the file `begun` at once, and the file `mark` when cancelled."""
    if begun:
        Path(begun).touch()  # noqa: ASYNC240 - nothing else is waiting in a test server
    try:
        for step in range(10):
            await ctx.report_progress(step, 10, f"step {step}")
            await asyncio.sleep(seconds / 10)
    except asyncio.CancelledError:
        if mark:
            Path(mark).touch()  # noqa: ASYNC240 - nothing else is waiting in a test server
        raise
    return "done"


@server.tool()
async def hold(until: str) -> str:
    """Take until there is a file of that name."""
    while not Path(until).exists():  # noqa: ASYNC110, ASYNC240 - nothing else is waiting in a test server
        await asyncio.sleep(0.05)
    return "let go"


@server.tool()
async def crowd(least: int, seconds: float) -> int:
    """The most calls of this tool that were under way at the same time, so far: waits for that many, and a while."""
    global inside, most_inside
    inside += 1
    most_inside = max(most_inside, inside)
    try:
        while most_inside < least:  # noqa: ASYNC110 - nothing else is waiting in a test server
            await asyncio.sleep(0.05)
        await asyncio.sleep(seconds)
    finally:
        inside -= 1
    return most_inside


@server.tool()
def fail(message: str) -> str:
    """Fail as tools do: with isError."""
    raise ToolError(message)


@server.tool()
def proto_fail(code: int, message: str) -> str:
    """Fail with a JSON-RPC error."""
    raise MCPError(code, message, {"from": "the tool"})


@server.tool()
def big(kib: int) -> str:
    """Answer with that much text."""
    return "x" * 1024 * kib


@server.tool()
def noise(kib: int, seed: int) -> str:
    """Answer with that much text that hardly compresses, the same for each seed."""
    return random.Random(seed).randbytes(512 * kib).hex()  # noqa: S311 - noise


@server.tool()
def echo_env(name: str) -> str:
    """The value of an environment variable."""
    return os.environ.get(name, "(unset)")


@server.tool()
def complain(text: str) -> str:
    """Write to standard error."""
    print(text, file=sys.stderr, flush=True)
    return "written"


@server.tool()
def echo_meta(ctx: Context[Any, Any]) -> dict[str, Any]:
    """The _meta that came with the call."""
    return {"meta": dict(ctx.request_context.meta or {})}


@server.tool()
def hang_up() -> str:
    """Stop the process with a signal, as a kernel short of memory does."""
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


class Name(BaseModel):
    """What a person is asked for."""

    name: str


async def who() -> Elicit[Name]:
    """Ask a person."""
    return Elicit("Who are you?", Name)


@server.tool()
async def ask(name: Annotated[Name, Resolve(who)]) -> str:
    """Ask for a name, as the client's revision has it."""
    return name.name


@server.tool()
async def ask_as_of_old(ctx: Context[Any, Any]) -> str:
    """Ask for a name in the middle of the call."""
    answer = await ctx.elicit("Who are you?", Name)
    return answer.action


@server.tool()
def draw() -> Image:
    """A picture."""
    return Image(data=b"png", format="png")


@server.resource("note://today")
def note() -> str:
    """A resource."""
    return "buy milk"


@server.prompt()
def greet(name: str) -> str:
    """A prompt."""
    return f"Say hello to {name}."


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--http", type=int)
    parser.add_argument("--banner", default="")
    parser.add_argument("--complain", default="")
    parser.add_argument("--exit", type=int)
    parser.add_argument("--only-once", type=Path)
    parser.add_argument("--legacy", action="store_true")
    parser.add_argument("--stateless", action="store_true")
    options = parser.parse_args()
    if options.banner:
        print(options.banner, flush=True)
    if options.complain:
        print(options.complain, file=sys.stderr, flush=True)
    if options.exit is not None:
        sys.exit(options.exit)
    if options.only_once is not None:
        if options.only_once.exists():
            sys.exit(9)
        options.only_once.touch()
    if options.http is None:
        server.run("stdio")
    else:
        app: ASGIApp = server.streamable_http_app(stateless_http=options.stateless)
        serve_http(without_discovery(app) if options.legacy else app, options.http)


def without_discovery(app: ASGIApp) -> ASGIApp:
    """The same server as it was before the revision 2026-07-28."""

    async def older(scope: Scope, receive: Receive, send: Send) -> None:
        if (b"mcp-method", b"server/discover") not in scope.get("headers", ()):
            return await app(scope, receive, send)
        await send({"type": "http.response.start", "status": 400, "headers": []})
        return await send({"type": "http.response.body", "body": b""})

    return older


def serve_http(app: ASGIApp, port: int) -> None:
    import socket

    import uvicorn

    # Named as TCP, which asyncio looks for before it turns off the delay of small packets.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(128)
    print(f"listening on {listener.getsockname()[1]}", flush=True)
    config = uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1)
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
