"""The one place that touches what the MCP SDK and httpx2 keep private. Used by upstream, egress and bridge.

Re-check it whenever a pin moves: it was written against mcp 2.3 and httpx2 2.16.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import httpcore2
import httpx2
import mcp_types
from mcp import ClientSession, MCPError
from mcp.client._probe import negotiate_auto
from mcp.shared.dispatcher import CallOptions
from mcp.shared.jsonrpc_dispatcher import JSONRPCDispatcher
from mcp_types.methods import validate_server_result
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError


class Refused(Exception):
    """The server answered the first request in a way that says nothing about the protocol it speaks."""


class _Dispatcher(JSONRPCDispatcher[Any]):
    """Tells of its end, which the SDK tells only to those who wait for an answer, and shows raw results of tools/list,
    so that a definition that can't be read can still be named.
    """

    def __init__(self, read_stream: Any, write_stream: Any, on_tools: Callable[[Mapping[str, Any]], None]) -> None:
        super().__init__(read_stream, write_stream)
        self.ended = asyncio.Event()
        self._on_tools = on_tools

    async def run(self, *args: Any, **options: Any) -> None:
        try:
            await super().run(*args, **options)
        finally:
            self.ended.set()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None, **private: Any
    ) -> dict[str, Any]:
        result = await super().send_raw_request(method, params, opts, **private)
        if method == "tools/list":
            self._on_tools(result)
        return result


class Session(ClientSession):
    """One session that all clients of the gateway share; it relays results and judges none.

    `ended` is set when it can carry no request any more.
    """

    def __init__(
        self,
        read_stream: Any,
        write_stream: Any,
        *,
        name: str,
        refused: Callable[[], bool],
        on_tools: Callable[[Mapping[str, Any]], None],
    ) -> None:
        dispatcher = _Dispatcher(read_stream, write_stream, on_tools)
        self.ended = dispatcher.ended
        super().__init__(dispatcher=dispatcher, client_info=mcp_types.Implementation(name=name, version="1"))
        self._refused = refused

    async def validate_tool_result(self, name: str, result: mcp_types.CallToolResult) -> None:
        """Leave the judgement to the caller's own client: it makes the same check."""

    def _build_capabilities(self, version: str) -> mcp_types.ClientCapabilities:
        # In the modern era a request for input is a result, which reaches the very client that called. A handshake-era
        # server would send it on the shared session, where nobody can tell whom it is for: it is told that none can.
        capabilities = super()._build_capabilities(version)
        if version not in MODERN_PROTOCOL_VERSIONS:
            return capabilities
        elicitation = mcp_types.ElicitationCapability(
            form=mcp_types.FormElicitationCapability(), url=mcp_types.UrlElicitationCapability()
        )
        return capabilities.model_copy(
            update={
                "elicitation": elicitation,
                "sampling": mcp_types.SamplingCapability(),
                "roots": mcp_types.RootsCapability(),
            }
        )

    async def send_discover(self, version: str) -> dict[str, Any]:
        """Ask for the server's modern revision.

        Raises MCPError for an answer that means "handshake era", Refused for one that means nothing of the kind: the
        SDK would take a 401 or a 503 for the former, and stay in the wrong era.
        """
        try:
            raw = await super().send_discover(version)
        except MCPError as error:
            if self._refused():
                raise Refused(error.message) from error
            raise
        try:
            validate_server_result("server/discover", version, raw)
        except ValidationError as error:
            # Every later answer is held to this schema: a server that fails it here can't serve the era.
            raise MCPError(mcp_types.INVALID_PARAMS, f"the server's discovery isn't valid at {version}") from error
        return raw


def is_unanswered(error: BaseException) -> bool:
    """Whether `error` is the SDK's own word for a request whose answer never came; the server sent nothing like it."""
    return isinstance(error, MCPError) and (
        error.code == mcp_types.CONNECTION_CLOSED and error.message.startswith(("Connection closed", "SSE stream "))
    )


def is_timeout(error: BaseException) -> bool:
    """Whether `error` tells that the request's time was over, here and not at the server."""
    own = isinstance(error, MCPError) and error.code == mcp_types.REQUEST_TIMEOUT and error.data is None
    return isinstance(error, TimeoutError) or (own and str(error).startswith("Request '"))


async def negotiate(session: Session, protocol: str) -> None:
    """Agree on a revision: "Auto" asks the server, another value is the only one accepted.

    Raises MCPError, RuntimeError or ValidationError when the server can't or won't, Refused as `send_discover`.
    """
    if protocol == "Auto":
        await negotiate_auto(session)
    elif protocol in MODERN_PROTOCOL_VERSIONS:
        session.adopt(mcp_types.DiscoverResult.model_validate(await session.send_discover(protocol)))
    else:
        await session.initialize()


def http_transport(
    limits: httpx2.Limits, network_backend: httpcore2.AsyncNetworkBackend | None
) -> httpx2.AsyncHTTPTransport:
    """A transport whose connections are opened by `network_backend`, for which httpx2 has no argument."""
    transport = httpx2.AsyncHTTPTransport(limits=limits, trust_env=False)
    if network_backend is not None:
        transport._pool._network_backend = network_backend
    return transport


__all__ = ["Refused", "Session", "http_transport", "is_timeout", "is_unanswered", "negotiate"]
