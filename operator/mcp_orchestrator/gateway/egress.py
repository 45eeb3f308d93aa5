"""HTTP towards a server: where it may connect to, and what became of every request. Used by gateway.upstream."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import httpcore2
import httpx2

from mcp_orchestrator.gateway import sdk

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 3600.0
"""Only a net against dead peers: every request has its own, shorter limit."""
ANSWER_BYTES = 64 * 1024 * 1024
"""Where reading an answer ends: all of it is held in memory."""
KEEP_ALIVE_SECONDS = 4.0
"""Below the 5 s after which uvicorn and Node.js close an idle connection, so that no request meets a closing one."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_NAT64_LOCAL = ipaddress.IPv6Network("64:ff9b:1::/48")
_PLATFORM = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Cloud platform services at addresses that look public: the wire server of Azure."""
_PROTOCOL_ASSIGNMENTS = ipaddress.IPv4Network("192.0.0.0/24")
"""Not global as a whole, which Python knows only since 3.11.10; Oracle's metadata service is in it."""


@dataclass(slots=True)
class Exchange:
    """What HTTP said to the requests that were sent while it was current. Errors of the SDK no longer tell."""

    status: int = 0
    retry_after: str = ""
    content_type: str = ""
    error: Exception | None = None


EXCHANGE: ContextVar[Exchange | None] = ContextVar("exchange", default=None)


class PrivateAddress(httpcore2.ConnectError):
    """A connection that was refused before it was opened, because of where it would lead."""


def is_public(address: Address) -> bool:
    """Whether `address` is globally routable, looking through addresses that carry another one inside."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address.is_site_local or address in _NAT64_LOCAL:
            return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_private
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
        or address in _PLATFORM
        or address in _PROTOCOL_ASSIGNMENTS
    )


async def resolve(host: str, port: int) -> tuple[Address, ...]:
    """The addresses of `host`, in the order to try them.

    Raises httpcore2.ConnectError when there are none.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpcore2.ConnectError(f"the name {host} can't be resolved: {error}") from error
    return tuple(dict.fromkeys(ipaddress.ip_address(info[4][0]) for info in found))


class PublicOnly(httpcore2.AsyncNetworkBackend):
    """Connects to public addresses only.

    Decides on the resolved address and connects to that very address, so that neither a redirect nor a name that
    changes between the check and the connection leads inside.
    """

    def __init__(self) -> None:
        self._backend = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        addresses = await resolve(host, port)
        allowed = [address for address in addresses if is_public(address)]
        if not allowed:
            found = "" if host == str(addresses[0]) else f"{addresses[0]}, which is "
            raise PrivateAddress(f"{host} is {found}not a public address")
        failure: Exception | None = None
        for address in allowed:
            try:
                return await self._backend.connect_tcp(str(address), port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class Recorder(httpx2.AsyncBaseTransport):
    """Notes each request's outcome in the current Exchange, and turns transport errors into answers.

    One session serves all clients, and an error raised here would end it, with every other call on it.
    """

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        # The stream for a server's own messages and the farewell are not what anyone waits for.
        exchange = (EXCHANGE.get() if request.method == "POST" else None) or Exchange()
        try:
            response = await self._transport.handle_async_request(request)
        except httpx2.TransportError as error:
            exchange.error = error
            return httpx2.Response(502, request=request)
        exchange.error = None
        exchange.status = response.status_code
        exchange.content_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        exchange.retry_after = response.headers.get("retry-after", "")
        response.stream = _Body(response.stream, exchange)
        return response

    async def aclose(self) -> None:
        await self._transport.aclose()


class _Body(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        try:
            async for chunk in self._stream:
                size += len(chunk)
                if size > ANSWER_BYTES:
                    raise httpx2.DecodingError(f"it is longer than {ANSWER_BYTES >> 20} MiB")
                yield chunk
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            self._exchange.error = error

    async def aclose(self) -> None:
        await self._stream.aclose()


def http_client(headers: Mapping[str, str], *, public_only: bool) -> httpx2.AsyncClient:
    """A client that sends `headers` with every request, and never uses a proxy from the environment."""
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=KEEP_ALIVE_SECONDS)
    transport = sdk.http_transport(limits, PublicOnly() if public_only else None)
    return httpx2.AsyncClient(
        # Compressed, an answer could be a thousand times longer than what is counted.
        headers={"Accept-Encoding": "identity", **headers},
        transport=Recorder(transport),
        timeout=httpx2.Timeout(CONNECT_TIMEOUT_SECONDS, read=READ_TIMEOUT_SECONDS, pool=None),
        trust_env=False,
        follow_redirects=False,
    )
