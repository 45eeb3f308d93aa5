"""The ToolCaller of a run: MCP over Streamable HTTP. Made by `main`, called by `execute`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import httpx2
import mcp_types
from mcp import ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import failures, results, schemas, wire
from mcp_orchestrator.runner.calls import Call, CallFailed
from mcp_orchestrator.runner.results import Answer

META = "mcp-orchestrator.io"
LEAVE_SECONDS = 3.0
"""How long saying goodbye to a server may take after a call's time was over."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where a server is called, and how long a call may take if its task does not say."""

    url: str
    timeout_seconds: float


class _Session(ClientSession):
    async def validate_tool_result(self, name: str, result: mcp_types.CallToolResult) -> None:
        """Leave it to `schemas`."""


@dataclass(slots=True)
class _Attempt:
    """One try to make a call, and what came of it."""

    call: Call
    wire: wire.Wire
    answer: mcp_types.CallToolResult | mcp_types.InputRequiredResult | mcp_types.Result | None = None


class McpCaller:
    """Calls tools, each attempt with a session of its own. Use it as an async context manager inside the event loop."""

    def __init__(
        self,
        servers: Mapping[str, Server],
        *,
        run_uid: str,
        traceparent: str = "",
    ) -> None:
        self._servers = servers
        self._meta = {f"{META}/run": run_uid} | ({"traceparent": traceparent} if traceparent else {})
        self._pool = wire.pool(tls=any(server.url.startswith("https:") for server in servers.values()))
        self._known: dict[str, mcp_types.DiscoverResult] = {}
        self._schemas = schemas.OutputSchemas()
        self._identity = mcp_types.Implementation(
            name="mcp-orchestrator-runner", version=metadata.version("mcp-orchestrator")
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    async def call(self, call: Call) -> Answer:
        """Make the call, once. Raises CallFailed."""
        server = self._servers.get(call.server)
        if server is None:
            raise CallFailed(ErrorClass.RUNNER, f'the run has no server "{call.server}" on record', never_sent=True)
        attempt = _Attempt(call, wire.Wire(self._pool))
        return await self._try(server, attempt, call.timeout_seconds)

    async def _try(self, server: Server, attempt: _Attempt, seconds: float) -> Answer:
        name = attempt.call.server
        try:
            # The inner limit is the call's own. Leaving may wait for the server once more, and is limited by the outer.
            async with asyncio.timeout(seconds + LEAVE_SECONDS), asyncio.timeout(seconds):
                await self._exchange(server, attempt, seconds)
        except TimeoutError:
            if attempt.answer is None:
                raise failures.timed_out(attempt.wire, name, seconds) from None
        except (MCPError, ValueError, RuntimeError, httpx2.HTTPError, httpx2.InvalidURL, ExceptionGroup) as error:
            # What goes wrong after the answer is here, in asking for schemas or in leaving, takes nothing from it.
            if attempt.answer is None:
                failure = failures.explain(error, attempt.wire, name)
                if _is_unknown_version(error):
                    # The server was replaced by one of another revision: greet it anew.
                    failure.never_sent = self._known.pop(name, None) is not None
                raise failure from error
        return self._result(attempt)

    async def _exchange(self, server: Server, attempt: _Attempt, seconds: float) -> None:
        name = attempt.call.server
        async with (
            wire.client(attempt.wire) as http,
            streamable_http_client(server.url, http_client=http, max_sse_event_size=None) as (read, write),
            _Session(read, write, client_info=self._identity) as session,
        ):
            await self._greet(name, session)
            attempt.answer = await session.call_tool(
                attempt.call.tool,
                dict(attempt.call.arguments),
                meta=self._meta_of(attempt, seconds),
                allow_input_required=True,
                allow_claimed=True,
            )
            if isinstance(attempt.answer, mcp_types.CallToolResult) and not attempt.answer.is_error:
                await self._schemas.learn(name, session)

    async def _greet(self, name: str, session: ClientSession) -> None:
        """Agree on a revision: the newest that the server discovers, else by the handshake of older ones."""
        if known := self._known.get(name):
            session.adopt(known)
            return
        try:
            self._known[name] = await session.discover()
        except (MCPError, ValueError, RuntimeError):
            # All that a server without discovery may say to it. A refusal is repeated by the wire, without asking.
            await session.initialize()

    def _meta_of(self, attempt: _Attempt, seconds: float) -> Any:
        return {
            **self._meta,
            f"{META}/task": attempt.call.unit,
            f"{META}/attempt": attempt.call.attempt,
            # A gateway gives the call this time, instead of its server's own.
            f"{META}/timeout-seconds": round(seconds, 3),
        }

    def _result(self, attempt: _Attempt) -> Answer:
        answer = attempt.answer
        if isinstance(answer, mcp_types.CallToolResult):
            found = results.answer(answer)
            self._schemas.check(attempt.call.server, attempt.call.tool, answer)
            return found
        if isinstance(answer, mcp_types.InputRequiredResult):
            asked = ", ".join(answer.input_requests or ())
            raise CallFailed(
                ErrorClass.INPUT_REQUIRED, f"the tool asks for input of a person{f' ({asked})' if asked else ''}"
            )
        raise CallFailed(ErrorClass.PROTOCOL, "the tool answered with something that is no result")


def _is_unknown_version(error: BaseException) -> bool:
    found = failures.leaf(error)
    return isinstance(found, MCPError) and found.code == mcp_types.UNSUPPORTED_PROTOCOL_VERSION
