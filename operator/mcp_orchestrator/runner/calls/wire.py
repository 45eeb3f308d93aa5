"""HTTP towards one server during one attempt: what became of each request, which errors of the SDK no longer tell.

Used by `tools`, read by `failures`. All attempts of a run share one pool of connections behind it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import orjson

from mcp_orchestrator.runner.calls import turns

CONNECT_TIMEOUT_SECONDS = 10.0
FAREWELL_SECONDS = 2.0
"""How long a server may take to hear that a call is cancelled, and likewise that its session is over."""
KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node.js close an idle connection, so that no call meets a closing one."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Where reading the answer of a call ends: above the limit of a result, which comes twice (data, text), and escaped."""
OTHER_BYTES = 8 * 1024 * 1024
"""Where reading any other answer ends, such as a list of tools."""
CHECKED_BYTES = 1024 * 1024
"""Up to this size it is made sure that an answer is the one to the request."""

CALL = "tools/call"
LAST_EVENT_ID = "last-event-id"
_REFUSALS = frozenset({401, 403, 408, 425, 429, 502, 503, 504})
_JSON, _EVENTS = "application/json", "text/event-stream"


class Unreadable(Exception):
    """An answer that came and can't be one. The message says what it is: "it is text/html"."""


@dataclass(slots=True)
class Exchange:
    """One JSON-RPC request over HTTP: its method and how far it came."""

    method: str
    id: Any = None
    status: int = 0
    retry_after: str = ""
    date: str = ""
    size: int = 0
    error: Exception | None = None

    @property
    def oversized(self) -> bool:
        """Whether the answer was longer than what is read of any."""
        return self.size > (ANSWER_BYTES if self.method == CALL else OTHER_BYTES)

    @property
    def refused(self) -> bool:
        """Whether it got no answer, or one that says nothing about the server's protocol."""
        return isinstance(self.error, httpx2.TransportError) or self.status in _REFUSALS


class Wire(httpx2.AsyncBaseTransport):
    """Notes how each request went, and turns transport errors into answers.

    An error raised here would end the SDK's task group and cancel the caller, which then looks like a real
    cancellation. After a refused greeting no second one is sent: the SDK takes a refusal for the sign of an old server.
    """

    def __init__(self, pool: httpx2.AsyncBaseTransport) -> None:
        self._pool = pool
        self.headers: Mapping[str, str] = {}
        """More headers of the call: those that repeat its arguments."""
        self.last: Exchange | None = None
        self.call_sent = False
        self.withdrawn = asyncio.Event()
        """Set once the server was told that a request is cancelled."""
        self.unmet = ""
        """What the server asked this client for, and a run can't give."""

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        if request.method == "GET":
            return await self._listen(request)
        message = orjson.loads(await request.aread()) if request.method == "POST" else {}
        if "method" not in message or "id" not in message:
            return await self._remark(request, message)
        if message["method"] == "initialize" and self.last and self.last.refused:
            return httpx2.Response(502, request=request)
        exchange = self.last = Exchange(message["method"], message["id"])
        if exchange.method == CALL:
            self.call_sent = True
            self.withdrawn.clear()
            request.headers.update(self.headers)
        return await self._exchange(request, exchange)

    async def aclose(self) -> None:
        """Leave the pool open: it is not this attempt's."""

    async def _remark(self, request: httpx2.Request, message: Mapping[str, Any]) -> httpx2.Response:
        """Send a notification, an answer to the server, or a farewell: what has no answer itself."""
        if "error" in message:
            self.unmet = str(message["error"].get("message", ""))
        is_withdrawal = message.get("method") == "notifications/cancelled"
        is_farewell = is_withdrawal or request.method == "DELETE"
        try:
            async with asyncio.timeout(FAREWELL_SECONDS if is_farewell else None):
                return await self._pool.handle_async_request(request)
        except (httpx2.TransportError, TimeoutError):
            return httpx2.Response(502, request=request)
        finally:
            if is_withdrawal:
                self.withdrawn.set()

    async def _listen(self, request: httpx2.Request) -> httpx2.Response:
        """Go on with a stream that the server has interrupted; others are not opened, they would hold a connection."""
        if LAST_EVENT_ID not in request.headers or self.last is None:
            return httpx2.Response(405, request=request)
        response = await self._pool.handle_async_request(request)
        response.stream = _Body(response.stream, self.last)
        return response

    async def _exchange(self, request: httpx2.Request, exchange: Exchange) -> httpx2.Response:
        try:
            response = await self._pool.handle_async_request(request)
            exchange.status = response.status_code
            exchange.retry_after = response.headers.get("retry-after", "")
            exchange.date = response.headers.get("date", "")
            try:
                return await _readable(response, exchange)
            except BaseException:
                await response.aclose()
                raise
        except (httpx2.TransportError, Unreadable) as error:
            exchange.error = error
            return httpx2.Response(502, request=request)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.SyncByteStream | httpx2.AsyncByteStream, exchange: Exchange) -> None:
        assert isinstance(stream, httpx2.AsyncByteStream)  # noqa: S101 - the pool is asynchronous
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._stream:
                self._exchange.size += len(chunk)
                if self._exchange.oversized:
                    break
                yield chunk
        except httpx2.TransportError as error:
            self._exchange.error = error
        if self._exchange.oversized:
            # The one error for which the SDK does not ask the server to go on.
            raise httpx2.SSEError("it is too large")

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _readable(response: httpx2.Response, exchange: Exchange) -> httpx2.Response:
    """The response, of which the SDK can read on. Raises Unreadable, TransportError."""
    if (encoding := response.headers.get("content-encoding", "identity")) != "identity":
        # What was asked not to be compressed could be a thousand times longer than what is counted.
        raise Unreadable(f"it is compressed ({encoding}), unasked")
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    body = _Body(response.stream, exchange)
    if kind == _JSON:
        content = b"".join([chunk async for chunk in body])
        await body.aclose()
        if exchange.error:
            raise exchange.error
        if response.is_success and len(content) <= CHECKED_BYTES:
            content = _ours(content, exchange)
        return httpx2.Response(response.status_code, headers=response.headers, content=content)
    if response.status_code == 202:
        raise Unreadable("it says only that the request is accepted (HTTP 202)")
    if response.is_success and kind != _EVENTS:
        raise Unreadable(f"it is {kind or 'of no type'}, and no MCP")
    response.stream = body
    return response


def _ours(content: bytes, exchange: Exchange) -> bytes:
    """The answer to our request: the SDK would wait for it after it got another's. Raises Unreadable."""
    try:
        message = orjson.loads(content)
    except ValueError:
        return content
    if not isinstance(message, dict) or "jsonrpc" not in message:
        return content
    found = message.get("id")
    if found is None and "error" in message:
        # The server could not even make out the request's id.
        return orjson.dumps(message | {"id": exchange.id})
    if "method" in message or str(found) != str(exchange.id):
        raise Unreadable("it is the answer to another request")
    return content


def pool(*, tls: bool) -> httpx2.AsyncHTTPTransport:
    """The connections of one run. Without `tls`, certificates aren't loaded, which takes a tenth of a second."""
    # A context without any authority trusts nobody: a redirect to https fails rather than being believed.
    context = True if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    limits = httpx2.Limits(max_connections=turns.CALLS_IN_ALL, keepalive_expiry=KEEP_ALIVE_SECONDS)
    return httpx2.AsyncHTTPTransport(verify=context, limits=limits, trust_env=False)


def client(wire: Wire) -> httpx2.AsyncClient:
    """An HTTP client of one attempt. How long answers may take is the attempt's own matter."""
    return httpx2.AsyncClient(
        transport=wire,
        headers={"Accept-Encoding": "identity"},
        timeout=httpx2.Timeout(None, connect=CONNECT_TIMEOUT_SECONDS),
        trust_env=False,
        follow_redirects=False,
    )
