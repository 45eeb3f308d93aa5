"""HTTP towards one server during one attempt: what became of each request, which errors of the SDK no longer tell.

Used by `tools`, read by `failures`. All attempts of a run share one pool of connections behind it.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx2
import orjson

CONNECT_TIMEOUT_SECONDS = 10.0
CONNECTIONS = 100
KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node.js close an idle connection, so that no call meets a closing one."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Where reading an answer ends. Above the limit of a result, which comes twice (as data and as text), and escaped."""

CALL = "tools/call"
_REFUSALS = frozenset({401, 403, 408, 425, 429, 502, 503, 504})


@dataclass(slots=True)
class Exchange:
    """One JSON-RPC request over HTTP: its method and how far it came."""

    method: str
    status: int = 0
    retry_after: str = ""
    size: int = 0
    error: Exception | None = None

    @property
    def oversized(self) -> bool:
        """Whether the answer was longer than what is read of any."""
        return self.size > ANSWER_BYTES

    @property
    def refused(self) -> bool:
        """Whether it got no answer, or one that says nothing about the server's protocol."""
        return self.error is not None or self.status in _REFUSALS


class Wire(httpx2.AsyncBaseTransport):
    """Notes how each request went, and turns transport errors into answers.

    An error raised here would end the SDK's task group and cancel the caller, which then looks like a real
    cancellation. After a refusal nothing more is sent: the SDK takes one for the sign of an old server.
    """

    def __init__(self, pool: httpx2.AsyncBaseTransport) -> None:
        self._pool = pool
        self.last: Exchange | None = None
        self.call_sent = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send one request."""
        method = _method(request)
        if not method:
            return await self._pool.handle_async_request(request)
        if self.last and self.last.refused:
            return httpx2.Response(502, request=request)
        exchange = self.last = Exchange(method)
        self.call_sent = self.call_sent or method == CALL
        try:
            response = await self._pool.handle_async_request(request)
        except httpx2.TransportError as error:
            exchange.error = error
            return httpx2.Response(502, request=request)
        exchange.status = response.status_code
        exchange.retry_after = response.headers.get("retry-after", "")
        if (encoding := response.headers.get("content-encoding", "identity")) != "identity":
            # What was asked not to be compressed could be a thousand times longer than what is counted.
            await response.aclose()
            exchange.error = httpx2.DecodingError(f"it compressed its answer ({encoding}), unasked")
            return httpx2.Response(502, request=request)
        response.stream = _Body(response.stream, exchange)
        return response

    async def aclose(self) -> None:
        """Leave the pool open: it is not this attempt's."""


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
                    return
                yield chunk
        except httpx2.TransportError as error:
            self._exchange.error = error

    async def aclose(self) -> None:
        await self._stream.aclose()


def pool(*, tls: bool) -> httpx2.AsyncHTTPTransport:
    """The connections of one run. Without `tls`, certificates aren't loaded, which takes a tenth of a second."""
    # A context without any authority trusts nobody: a redirect to https fails rather than being believed.
    context = True if tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    limits = httpx2.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEEP_ALIVE_SECONDS)
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


def _method(request: httpx2.Request) -> str:
    """The method of the JSON-RPC request that is sent; empty for notifications, streams and farewells."""
    if request.method != "POST":
        return ""
    message = orjson.loads(request.content)
    return str(message["method"]) if "method" in message and "id" in message else ""
