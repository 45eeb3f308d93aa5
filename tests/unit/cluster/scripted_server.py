"""An HTTP server that plays the API server from a script: each request takes the next answer."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiohttp import test_utils, web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class ScriptedServer:
    answers: list[Answer]
    received: list[Received] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = orjson.loads(raw) if raw else None
        self.received.append(Received(request.method, request.path, dict(request.query), dict(request.headers), body))
        return await self.answers.pop(0)(request)


@contextlib.asynccontextmanager
async def scripted(*answers: Answer) -> AsyncIterator[ScriptedServer]:
    server = ScriptedServer(list(answers))
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.handle)
    async with test_utils.TestServer(application) as running:
        server.url = str(running.make_url("")).rstrip("/")
        yield server


def ok(body: Any = None, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(body or {}), content_type="application/json", headers=headers)

    return answer


def text(content: str, status: int = 200) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=content, status=status)

    return answer


def status(code: int, reason: str = "", message: str = "", details: Any = None, **headers: str) -> Answer:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code}
    body |= {"reason": reason, "message": message, "details": details or {}}

    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(body), content_type="application/json", status=code, headers=headers)

    return answer


async def disconnect(request: web.Request) -> web.StreamResponse:
    """Take the request and break the connection: the client can't know whether it was carried out."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()
