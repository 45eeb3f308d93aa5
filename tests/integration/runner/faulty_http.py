"""An MCP server by hand that greets well and then answers tool calls badly, one way for each path.

/reset          breaks the connection when the call comes
/cut-sse        begins an event stream and ends it
/cut-json       sends half of its answer and breaks the connection
/rubbish-json   says JSON and sends something else
/no-result      answers with a result that is none
/html           answers with a page
/gzip           compresses its answer, unasked
/endless        sends more than anybody wants to read
/silence        never answers the call
/status/CODE    answers the call with that status
/error/CODE     answers the call with that JSON-RPC error
/input          asks for input
/gateway/CLASS/SENT[/STATUS]   fails as our gateway does
/once-lost      forgets the session of the first call (HTTP 404 in the handshake era)
/reborn         no longer knows the revision after the first call, and greets anew
/listless       answers the call well, and fails to list its tools
/tool/JSON      answers with that tool result
"""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

MODERN = "2026-07-28"


@dataclass
class Faulty:
    """The running server: its port, and the JSON-RPC requests that it got."""

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    waiting: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def methods(self) -> list[str]:
        return [request["method"] for request in self.requests]

    def calls(self) -> list[dict[str, Any]]:
        return [request["params"] for request in self.requests if request["method"] == "tools/call"]


@asynccontextmanager
async def serving(port: int = 0) -> AsyncIterator[Faulty]:
    faulty = Faulty()
    connections: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            while await _answer(reader, writer, faulty):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            connections.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    faulty.port = server.sockets[0].getsockname()[1]
    try:
        yield faulty
    finally:
        server.close()
        for task in tuple(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faulty: Faulty) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    verb, path, _ = head.split(" ", 2)
    length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
    body = await reader.readexactly(length)
    if verb != "POST":
        writer.write(_http(405))
        return True
    request = json.loads(body)
    if "id" not in request:
        writer.write(_http(202))
        return True
    faulty.requests.append(request)
    parts = path.split("/")[1:]
    match request["method"]:
        case "server/discover" if parts[0] == "once-lost":
            writer.write(_error(request, -32601, "Method not found"))
        case "server/discover":
            capabilities: dict[str, Any] = {"tools": {}}
            result = {"supportedVersions": [MODERN], "capabilities": capabilities, "resultType": "complete"}
            writer.write(_result(request, {**result, "ttlMs": 0, "cacheScope": "public"}))
        case "initialize":
            version = request["params"]["protocolVersion"]
            info = {"name": "faulty", "version": "0"}
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            writer.write(_result(request, result, "Mcp-Session-Id: one\r\n"))
        case "tools/list" if parts[0] == "listless":
            writer.write(_result(request, {"tools": [{"name": "t", "inputSchema": {}}]}))
        case "tools/list":
            schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
            tools = [{"name": "t", "inputSchema": {"type": "object"}}]
            tools.append({"name": "strict", "inputSchema": {"type": "object"}, "outputSchema": schema})
            remote = {"$ref": "http://127.0.0.1:9/schema"}
            tools.append({"name": "remote", "inputSchema": {"type": "object"}, "outputSchema": remote})
            complete = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
            writer.write(_result(request, {"tools": tools, **complete}))
        case "tools/call":
            return await _call(parts, request, reader, writer, faulty)
        case _:
            writer.write(_error(request, -32601, "Method not found"))
    return True


async def _call(
    parts: list[str],
    request: dict[str, Any],
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    faulty: Faulty,
) -> bool:
    first = len(faulty.calls()) == 1
    good = {"content": [{"type": "text", "text": "good"}], "resultType": "complete"}
    match parts:
        case ["reset"]:
            writer.transport.abort()
            return False
        case ["cut-sse"]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n")
            return False
        case ["cut-json"]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
            await writer.drain()
            return False
        case ["rubbish-json"]:
            writer.write(_page("application/json", b"<<<"))
        case ["no-result"]:
            writer.write(_result(request, {"contents": 7}))
        case ["html"]:
            writer.write(_page("text/html", b"<html>Welcome</html>"))
        case ["gzip"]:
            writer.write(_page("application/json", gzip.compress(b"{}" * 1000), "Content-Encoding: gzip\r\n"))
        case ["endless"]:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                writer.write(b'"' + b"x" * (1 << 20))
                await writer.drain()
        case ["silence"]:
            faulty.waiting.set()
            await reader.read(1)
            faulty.cancelled.set()
            return False
        case ["status", code]:
            extra = "Retry-After: 17\r\n" if code in ("429", "503") else ""
            writer.write(_http(int(code), extra=extra))
        case ["error", code]:
            writer.write(_error(request, int(code), "words of the server"))
        case ["input"]:
            ask = {"method": "elicitation/create", "params": {"mode": "form", "message": "Who?", "requestedSchema": {}}}
            ask["params"]["requestedSchema"] = {"type": "object", "properties": {}}  # type: ignore[index]  # plain JSON
            writer.write(_result(request, {"resultType": "input_required", "inputRequests": {"who": ask}}))
        case ["gateway", name, sent, *status]:
            data: dict[str, Any] = {"class": name, "sent": sent == "sent"}
            if status:
                data |= {"httpStatus": int(status[0]), "retryAfter": "17"}
            known = first or name != "Connect" or sent == "sent"
            writer.write(_error(request, -32000, "server x: words", data) if known else _result(request, good))
        case ["once-lost"] if first:
            writer.write(_http(404))
        case ["reborn"] if len(faulty.calls()) == 2:
            writer.write(_error(request, -32022, "unknown version", {"supported": [MODERN], "requested": "x"}))
        case ["tool", *rest]:
            writer.write(_result(request, {"resultType": "complete", **json.loads(unquote("/".join(rest)))}))
        case _:
            writer.write(_result(request, good))
    return True


def _result(request: dict[str, Any], result: dict[str, Any], extra: str = "") -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result})
    return _page("application/json", body.encode(), extra)


def _error(request: dict[str, Any], code: int, message: str, data: Any = None) -> bytes:
    error = {"code": code, "message": message, **({} if data is None else {"data": data})}
    return _page("application/json", json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": error}).encode())


def _page(content_type: str, body: bytes, extra: str = "") -> bytes:
    return (
        f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{extra}Content-Length: {len(body)}\r\n\r\n".encode() + body
    )


def _http(code: int, extra: str = "") -> bytes:
    return f"HTTP/1.1 {code} Oh\r\n{extra}Content-Length: 0\r\n\r\n".encode()
