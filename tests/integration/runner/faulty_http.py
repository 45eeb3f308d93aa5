"""An MCP server by hand that goes wrong in one way for each path: http://127.0.0.1:PORT/FAULT?at=STAGE&era=ERA.

It goes wrong at the call (the default), at the `list` of tools, or at the `greeting`. It is modern (the default: the
revision 2026-07-28), `legacy` (handshake and sessions, 2025-11-25), `stateless` (handshake, no sessions), or speaks the
revision that `era` names, by handshake. FAULTS says which ways there are; `good` is none of them, and `renewed` is a
server that becomes modern after its first call. With `mute`, it does not listen to farewells.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

MODERN = "2026-07-28"
LEGACY = "2025-11-25"
STAGES = {"tools/call": "call", "tools/list": "list", "server/discover": "greeting", "initialize": "greeting"}
GOOD = {"content": [{"type": "text", "text": "good"}], "resultType": "complete"}
_JSON, _EVENTS = "application/json", "text/event-stream"


@dataclass
class Faulty:
    """The running server: its port, what it got, and how many connections it has."""

    port: int = 0
    requests: list[dict[str, Any]] = field(default_factory=list)
    notifications: list[dict[str, Any]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    answers: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a client that waits for an answer goes away."""
    told: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)
    """The notifications of cancelled requests."""
    waiting: asyncio.Event = field(default_factory=asyncio.Event)
    waits: int = 0
    most_waits: int = 0
    release: asyncio.Event = field(default_factory=asyncio.Event)
    connections: set[asyncio.Task[None]] = field(default_factory=set)
    most_connections: int = 0
    path: str = ""
    """If set, all paths are this one."""
    raw: bytes = b""
    """What /anything answers, with $ID for the request's."""
    raw_type: str = _JSON

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def methods(self) -> list[str]:
        return [request["method"] for request in self.requests]

    def calls(self) -> list[dict[str, Any]]:
        return [request["params"] for request in self.requests if request["method"] == "tools/call"]

    def verbs(self) -> list[str]:
        return [head.split(" ", 1)[0] for head in self.heads]


@dataclass
class Exchange:
    """One request, and the connection to answer it on."""

    faulty: Faulty
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    head: str
    words: list[str]
    era: str
    body: dict[str, Any]

    @property
    def id(self) -> Any:
        return self.body.get("id")

    def send(self, content: bytes, content_type: str = _JSON, status: int = 200, extra: str = "") -> None:
        """A whole answer."""
        kind = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = f"HTTP/1.1 {status} Oh\r\n{kind}{extra}Content-Length: {len(content)}\r\n\r\n"
        self.writer.write(head.encode() + content)

    def begin(self, content_type: str = _EVENTS, extra: str = "") -> None:
        """An answer that ends with the connection."""
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\n{extra}Connection: close\r\n\r\n"
        self.writer.write(head.encode())

    def event(self, message: Any, extra: str = "") -> None:
        self.writer.write(f"{extra}data: {json.dumps(message)}\n\n".encode())

    def result(self, result: dict[str, Any], extra: str = "") -> None:
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.id, "result": result}).encode(), extra=extra)

    def error(self, code: int, message: str, data: Any = None, status: int = 200, id: Any = ...) -> None:  # noqa: A002
        error = {"code": code, "message": message, **({} if data is None else {"data": data})}
        answer = {"jsonrpc": "2.0", "id": self.id if id is ... else id, "error": error}
        self.send(json.dumps(answer).encode(), status=status)

    async def reset(self) -> bool:
        """Break the connection for good: the client's system gets an RST, and no end of the stream."""
        await self.writer.drain()
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
        return False

    async def hang(self) -> bool:
        """Answer nothing more, until the client goes away."""
        self.faulty.waiting.set()
        await self.reader.read(1)
        self.faulty.cancelled.set()
        return False


Fault = Callable[[Exchange], Awaitable[bool]]
"""Returns whether the connection stays."""
FAULTS: dict[str, Fault] = {}


def fault(function: Fault) -> Fault:
    FAULTS[function.__name__.replace("_", "-")] = function  # type: ignore[attr-defined]  # it is a function
    return function


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Faulty]:
    faulty = Faulty()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        faulty.connections.add(task)
        faulty.most_connections = max(faulty.most_connections, len(faulty.connections))
        try:
            while await _answer(reader, writer, faulty):
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            faulty.connections.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", ssl=tls)
    faulty.port = server.sockets[0].getsockname()[1]
    try:
        yield faulty
    finally:
        server.close()
        connections = tuple(faulty.connections)
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, faulty: Faulty) -> bool:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    faulty.heads.append(head)
    verb, target, _ = head.split(" ", 2)
    length = next((int(line[15:]) for line in head.lower().split("\r\n") if line.startswith("content-length:")), 0)
    raw = await reader.readexactly(length)
    url = urlsplit(faulty.path or target)
    options = {name: values[0] for name, values in parse_qs(url.query).items()}
    words = [unquote(word) for word in url.path.split("/")[1:]]
    era = "modern" if words[0] == "renewed" and faulty.calls() else options.get("era", "modern")
    exchange = Exchange(faulty, reader, writer, head, words, era, json.loads(raw or "{}"))
    if verb == "GET" and words[0] in RESUMED and "last-event-id:" in head.lower():
        return await RESUMED[words[0]](exchange)
    if verb == "DELETE" and "mute" in options:
        return await exchange.hang()
    if verb != "POST":
        exchange.send(b"", "", 405)
        return True
    if "method" not in exchange.body:
        await faulty.answers.put(exchange.body)
    elif "id" not in exchange.body:
        faulty.notifications.append(exchange.body)
    if "id" not in exchange.body or "method" not in exchange.body:
        if exchange.body.get("method") == "notifications/cancelled":
            faulty.told.put_nowait(exchange.body["params"])
            if "mute" in options:
                return await exchange.hang()
        exchange.send(b"", "", 202)
        return True
    faulty.requests.append(exchange.body)
    method = exchange.body["method"]
    stage = STAGES.get(method, "")
    if words[0] in FAULTS and stage == options.get("at", "call") and not (stage == "greeting" and _passes(exchange)):
        return await FAULTS[words[0]](exchange)
    _be_good(exchange, method)
    return True


def _passes(exchange: Exchange) -> bool:
    """The servers of old don't know discovery, which is no fault."""
    return exchange.era != "modern" and exchange.body["method"] == "server/discover"


def _be_good(exchange: Exchange, method: str) -> None:
    complete = {"resultType": "complete", "ttlMs": 0, "cacheScope": "public"}
    match method:
        case "server/discover" if exchange.era == "modern":
            exchange.result({"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **complete})
        case "initialize" if exchange.era != "modern":
            version = exchange.era if exchange.era[:2] == "20" else LEGACY
            info = {"name": "faulty", "version": "0"}
            session = "" if exchange.era == "stateless" else "Mcp-Session-Id: one\r\n"
            result = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            exchange.result(result, session)
        case "tools/list" if exchange.words[0] == "routing" and not exchange.faulty.calls():
            exchange.result({"tools": [{"name": "routed", "inputSchema": {"type": "object"}}], **complete})
        case "tools/list":
            exchange.result({"tools": TOOLS, **complete})
        case "tools/call":
            exchange.result(GOOD)
        case _:
            exchange.error(-32601, "Method not found")


TOOLS: list[dict[str, Any]] = [
    {"name": "t", "inputSchema": {"type": "object"}},
    {
        "name": "strict",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]},
    },
    {"name": "remote", "inputSchema": {"type": "object"}, "outputSchema": {"$ref": "http://127.0.0.1:9/schema"}},
    {
        "name": "greedy",
        "inputSchema": {"type": "object"},
        "outputSchema": {"type": "object", "properties": {"s": {"type": "string", "pattern": "^(a+)+$"}}},
    },
    {
        "name": "routed",
        "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
    },
    {
        "name": "misrouted",
        "inputSchema": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "My Region"}}},
    },
]


# --- connections that break ------------------------------------------------------------------------------------------


@fault
async def reset(exchange: Exchange) -> bool:
    """Breaks the connection."""
    return await exchange.reset()


@fault
async def hang_up(exchange: Exchange) -> bool:
    """Closes the connection properly, without an answer."""
    return False


@fault
async def cut_sse(exchange: Exchange) -> bool:
    """Begins an event stream and ends it."""
    exchange.begin()
    exchange.writer.write(b": hello\n\n")
    return False


@fault
async def reset_sse(exchange: Exchange) -> bool:
    """Begins an event stream and breaks the connection."""
    exchange.begin()
    exchange.writer.write(b": hello\n\n")
    return await exchange.reset()


@fault
async def cut_json(exchange: Exchange) -> bool:
    """Sends half of its answer and breaks the connection."""
    exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{")
    await exchange.writer.drain()
    return False


@fault
async def cut_head(exchange: Exchange) -> bool:
    """Sends half of the head of its answer and breaks the connection."""
    exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Ty")
    await exchange.writer.drain()
    return False


@fault
async def no_http(exchange: Exchange) -> bool:
    """Answers in another protocol."""
    exchange.writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await exchange.writer.drain()
    return False


@fault
async def resumed(exchange: Exchange) -> bool:
    """Interrupts its event stream; goes on when asked to."""
    exchange.begin()
    exchange.writer.write(b"retry: 0\nid: 7\ndata: \n\n")
    exchange.faulty.answers.put_nowait(exchange.body)
    return False


@fault
async def abandoned(exchange: Exchange) -> bool:
    """Interrupts its event stream, and does not go on when asked to."""
    return await resumed(exchange)


async def _go_on(exchange: Exchange) -> bool:
    asked = await exchange.faulty.answers.get()
    exchange.begin()
    exchange.event({"jsonrpc": "2.0", "id": asked["id"], "result": GOOD})
    return False


async def _know_nothing(exchange: Exchange) -> bool:
    exchange.send(b"", "", 404)
    return True


RESUMED: dict[str, Fault] = {"resumed": _go_on, "abandoned": _know_nothing}


# --- time ------------------------------------------------------------------------------------------------------------


@fault
async def silence(exchange: Exchange) -> bool:
    """Never answers."""
    return await exchange.hang()


@fault
async def slow_head(exchange: Exchange) -> bool:
    """Begins the head of its answer, and stops."""
    exchange.writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Wait: ")
    return await exchange.hang()


@fault
async def slow_json(exchange: Exchange) -> bool:
    """Begins its answer, and stops."""
    exchange.writer.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{"jsonrpc')
    return await exchange.hang()


@fault
async def comments(exchange: Exchange) -> bool:
    """Opens an event stream that says nothing."""
    exchange.begin()
    exchange.writer.write(b": still there\n\n")
    return await exchange.hang()


@fault
async def progress(exchange: Exchange) -> bool:
    """Tells of progress, and never comes to an end."""
    exchange.begin()
    for done in range(100):
        params = {"progressToken": exchange.id, "progress": done}
        exchange.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
    return await exchange.hang()


@fault
async def held(exchange: Exchange) -> bool:
    """Answers once it is released."""
    faulty = exchange.faulty
    faulty.waits += 1
    faulty.most_waits = max(faulty.most_waits, faulty.waits)
    faulty.waiting.set()
    await faulty.release.wait()
    faulty.waits -= 1
    exchange.result(GOOD)
    return True


# --- too much --------------------------------------------------------------------------------------------------------


@fault
async def endless(exchange: Exchange) -> bool:
    """Sends more JSON than anybody wants to read."""
    exchange.begin(_JSON)
    while True:
        exchange.writer.write(b'"' + b"x" * (1 << 20))
        await exchange.writer.drain()


@fault
async def endless_event(exchange: Exchange) -> bool:
    """Sends one event that does not end."""
    exchange.begin()
    exchange.writer.write(b"id: 1\ndata: ")
    while True:
        exchange.writer.write(b"x" * (1 << 20))
        await exchange.writer.drain()


@fault
async def endless_events(exchange: Exchange) -> bool:
    """Sends events for ever."""
    exchange.begin()
    message = {"level": "info", "data": "x" * (1 << 20)}
    while True:
        exchange.event({"jsonrpc": "2.0", "method": "notifications/message", "params": message}, "id: 1\n")
        await exchange.writer.drain()


@fault
async def huge_head(exchange: Exchange) -> bool:
    """Sends a head of a megabyte."""
    exchange.send(b"{}", extra=f"X-Large: {'x' * (1 << 20)}\r\n")
    return True


@fault
async def big_event(exchange: Exchange) -> bool:
    """Answers by one event of five megabytes, which is fine."""
    exchange.begin()
    text = {"type": "text", "text": "x" * 5 * (1 << 20)}
    exchange.event({"jsonrpc": "2.0", "id": exchange.id, "result": {**GOOD, "content": [text]}})
    return False


@fault
async def deep(exchange: Exchange) -> bool:
    """Answers with JSON that is nested a hundred thousand levels deep."""
    exchange.send(b'{"jsonrpc":"2.0","id":1,"result":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    return True


@fault
async def gzipped(exchange: Exchange) -> bool:
    """Compresses its answer, unasked."""
    exchange.send(gzip.compress(b"{}" * 1000), extra="Content-Encoding: gzip\r\n")
    return True


# --- rubbish ---------------------------------------------------------------------------------------------------------


@fault
async def rubbish_json(exchange: Exchange) -> bool:
    """Says JSON and sends something else."""
    exchange.send(b"<<<")
    return True


@fault
async def rubbish_event(exchange: Exchange) -> bool:
    """Sends an event that is no JSON."""
    exchange.begin()
    exchange.writer.write(b"data: <<<\n\n")
    return False


@fault
async def latin(exchange: Exchange) -> bool:
    """Answers in an encoding that is not UTF-8."""
    exchange.send(b'{"jsonrpc":"2.0","id":1,"result":{"content":[{"type":"text","text":"gr\xfc\xdfe"}]}}')
    return True


@fault
async def html(exchange: Exchange) -> bool:
    """Answers with a page."""
    exchange.send(b"<html>Welcome</html>", "text/html")
    return True


@fault
async def typeless(exchange: Exchange) -> bool:
    """Answers without a content type."""
    exchange.send(b"{}", "")
    return True


@fault
async def accepted(exchange: Exchange) -> bool:
    """Accepts the request, and answers nothing."""
    exchange.send(b"", "", 202)
    return True


@fault
async def nothing(exchange: Exchange) -> bool:
    """Has no content."""
    exchange.writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
    return True


@fault
async def no_rpc(exchange: Exchange) -> bool:
    """Answers with JSON that is no JSON-RPC."""
    exchange.send(b'{"status": "ok"}')
    return True


@fault
async def no_result(exchange: Exchange) -> bool:
    """Answers with a result that is none."""
    exchange.result({"contents": 7})
    return True


@fault
async def wrong_id(exchange: Exchange) -> bool:
    """Answers another request."""
    exchange.send(json.dumps({"jsonrpc": "2.0", "id": 4711, "result": GOOD}).encode())
    return True


@fault
async def a_request(exchange: Exchange) -> bool:
    """Answers with a request of its own."""
    exchange.send(json.dumps({"jsonrpc": "2.0", "id": exchange.id, "method": "ping"}).encode())
    return True


@fault
async def anything(exchange: Exchange) -> bool:
    """Answers whatever the test says."""
    exchange.begin(exchange.faulty.raw_type)
    exchange.writer.write(exchange.faulty.raw.replace(b"$ID", json.dumps(exchange.id).encode()))
    return False


# --- refusals --------------------------------------------------------------------------------------------------------


@fault
async def status(exchange: Exchange) -> bool:
    """/status/CODE[/RETRY-AFTER[/DATE]]: answers with that status."""
    code, *rest = exchange.words[1:]
    names = ("Retry-After", "Date")
    extra = "".join(f"{name}: {value}\r\n" for name, value in zip(names, rest, strict=False))
    exchange.send(b"", "", int(code), extra)
    return True


@fault
async def error(exchange: Exchange) -> bool:
    """/error/CODE[/STATUS]: answers with that JSON-RPC error, and that HTTP status."""
    code, *rest = exchange.words[1:]
    exchange.error(int(code), "words of the server", status=int(rest[0]) if rest else 200)
    return True


@fault
async def nameless(exchange: Exchange) -> bool:
    """Answers with an error to a request whose id it could not make out."""
    exchange.error(-32700, "what is that?", id=None)
    return True


@fault
async def redirect(exchange: Exchange) -> bool:
    """Sends the client elsewhere."""
    exchange.send(b"", "", 307, "Location: http://other.example/mcp\r\n")
    return True


@fault
async def moved(exchange: Exchange) -> bool:
    """Sends the client to another path of the same server."""
    exchange.send(b"", "", 308, "Location: /good\r\n")
    return True


@fault
async def version(exchange: Exchange) -> bool:
    """Does not know the revision that is spoken."""
    data = {"supported": ["2099-01-01"], "requested": MODERN}
    exchange.error(-32022, "Unsupported protocol version", data, status=400)
    return True


@fault
async def future(exchange: Exchange) -> bool:
    """Speaks a revision that comes later."""
    exchange.result({"supportedVersions": ["2099-01-01"], "capabilities": {}, "ttlMs": 0, "cacheScope": "public"})
    return True


@fault
async def lost(exchange: Exchange) -> bool:
    """Forgets the session of the first call, and knows that of later ones."""
    if len(exchange.faulty.calls()) == 1:
        exchange.send(b"", "", 404)
    else:
        exchange.result(GOOD)
    return True


@fault
async def reborn(exchange: Exchange) -> bool:
    """No longer knows the revision after the first call, and greets anew."""
    if len(exchange.faulty.calls()) == 2:
        exchange.error(-32022, "unknown version", {"supported": [MODERN], "requested": "x"}, status=400)
    else:
        exchange.result(GOOD)
    return True


@fault
async def routing(exchange: Exchange) -> bool:
    """Wants the header that its tool declares, from the second call on."""
    if len(exchange.faulty.calls()) > 1 and "mcp-param-region: north" not in exchange.head.lower():
        exchange.error(-32020, "Header mismatch", status=400)
    else:
        exchange.result(GOOD)
    return True


@fault
async def broken_list(exchange: Exchange) -> bool:
    """Lists a tool whose definition is invalid."""
    exchange.result({"tools": [{"name": "t", "inputSchema": {}}]})
    return True


# --- answers ---------------------------------------------------------------------------------------------------------


@fault
async def tool(exchange: Exchange) -> bool:
    """/tool/JSON: answers with that result."""
    exchange.result({"resultType": "complete", **json.loads("/".join(exchange.words[1:]))})
    return True


@fault
async def ask(exchange: Exchange) -> bool:
    """Asks for input as the newest revision has it."""
    form = {"mode": "form", "message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
    exchange.result(
        {"resultType": "input_required", "inputRequests": {"who": {"method": "elicitation/create", "params": form}}}
    )
    return True


@fault
async def elicit(exchange: Exchange) -> bool:
    """/elicit/HOW: asks for input as older revisions have it, and fails with an `error` or a `result` without it."""
    form = {"message": "Who?", "requestedSchema": {"type": "object", "properties": {}}}
    exchange.begin()
    exchange.event({"jsonrpc": "2.0", "id": "ask", "method": "elicitation/create", "params": form})
    refusal = (await exchange.faulty.answers.get())["error"]
    if exchange.words[1] == "error":
        exchange.event({"jsonrpc": "2.0", "id": exchange.id, "error": refusal})
    else:
        text = {"type": "text", "text": refusal["message"]}
        exchange.event({"jsonrpc": "2.0", "id": exchange.id, "result": {"content": [text], "isError": True}})
    return False


@fault
async def gateway(exchange: Exchange) -> bool:
    """/gateway/CLASS/SENT[/STATUS]: fails as our gateway does."""
    name, sent, *rest = exchange.words[1:]
    data: dict[str, Any] = {"class": name, "sent": sent == "sent"}
    if rest:
        data |= {"httpStatus": int(rest[0]), "retryAfter": "17"}
    exchange.error(-32000, "server x: words", data)
    return True
