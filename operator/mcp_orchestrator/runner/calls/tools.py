"""The ToolCaller of a run: MCP over Streamable HTTP. Made by `main`, called by the engine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import httpx2
import mcp_types
from mcp import ClientSession, MCPError
from mcp.client.streamable_http import streamable_http_client

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls import failures, schemas, wire
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.results import answers
from mcp_orchestrator.runner.results.answers import Answer

META = "mcp-orchestrator.io"
LEAVE_SECONDS = 3.0
"""How long saying goodbye to a server may take after a call's time was over."""
_CHANGED = frozenset({mcp_types.UNSUPPORTED_PROTOCOL_VERSION, mcp_types.HEADER_MISMATCH})
"""How a server turns away a call that was fit for what it was before."""
_ERRORS = (MCPError, ValueError, RuntimeError, httpx2.HTTPError, httpx2.InvalidURL, ExceptionGroup)
"""What the SDK raises where a server answers wrongly or not at all."""


class _Session(ClientSession):
    async def validate_tool_result(self, name: str, result: mcp_types.CallToolResult) -> None:
        """Leave it to `schemas`."""


@dataclass(slots=True)
class _Attempt:
    """One try to make a call, and what came of it."""

    call: Call
    url: str
    wire: wire.Wire
    is_told_to_stop: bool = False
    """Whether the server learns by a notification that the call is cancelled. Others see their stream closed."""
    answer: mcp_types.CallToolResult | mcp_types.InputRequiredResult | mcp_types.Result | None = None


class McpCaller:
    """Calls tools, each attempt with a session of its own. Use it as an async context manager inside the event loop."""

    def __init__(self, urls: Mapping[str, str], *, run_uid: str, traceparent: str = "") -> None:
        self._urls = urls
        self._meta = {f"{META}/run": run_uid} | ({"traceparent": traceparent} if traceparent else {})
        self._pool = wire.pool(tls=any(url.startswith("https:") for url in urls.values()))
        self._greeted: dict[str, mcp_types.DiscoverResult | mcp_types.InitializeResult] = {}
        self._tools = schemas.Definitions()
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
        url = self._urls.get(call.server)
        if url is None:
            raise CallFailed(ErrorClass.RUNNER, f'the run has no server "{call.server}" on record', never_sent=True)
        return await self._make(_Attempt(call, url, wire.Wire(self._pool)))

    async def _make(self, attempt: _Attempt) -> Answer:
        name, seconds = attempt.call.server, attempt.call.timeout_seconds
        try:
            # The inner limit is the call's own. Leaving may wait for the server once more, and is limited by the outer.
            async with asyncio.timeout(seconds + LEAVE_SECONDS), asyncio.timeout(seconds):
                await self._exchange_with_whoever_is_there(attempt)
        except TimeoutError:
            if attempt.answer is None:
                raise failures.timed_out(attempt.wire, name, round(seconds, 3)) from None
        except _ERRORS as error:
            # What goes wrong after the answer is here, in leaving, takes nothing from it.
            if attempt.answer is None:
                raise failures.explain(error, attempt.wire, name) from error
        return self._result(attempt)

    async def _exchange_with_whoever_is_there(self, attempt: _Attempt) -> None:
        """Make the call, and do as with an unknown server if it turns out not to be the one that it was."""
        name = attempt.call.server
        greeted = self._greeted.get(name)
        try:
            await self._exchange(attempt)
        except _ERRORS as error:
            if greeted is None or not _has_changed(error, attempt.wire):
                raise
            if self._greeted.get(name) is greeted:
                del self._greeted[name]
                self._tools.forget(name)
            attempt.wire = wire.Wire(self._pool)
            await self._exchange(attempt)

    async def _exchange(self, attempt: _Attempt) -> None:
        call = attempt.call
        async with (
            wire.client(attempt.wire) as http,
            streamable_http_client(attempt.url, http_client=http, max_sse_event_size=None) as (read, write),
            _parting(attempt),
            _Session(read, write, client_info=self._identity) as session,
        ):
            await self._greet(call.server, session)
            await self._tools.learn(call.server, session, call.timeout_seconds / 2)
            if session.discover_result:
                attempt.wire.headers = self._tools.headers(call.server, call.tool, call.arguments)
            else:
                attempt.is_told_to_stop = True
            attempt.answer = await session.call_tool(
                call.tool,
                dict(call.arguments),
                meta=self._meta_of(attempt),
                allow_input_required=True,
                allow_claimed=True,
            )

    async def _greet(self, name: str, session: ClientSession) -> None:
        """Agree on a revision: the newest that the server discovers, else by the handshake of older ones."""
        match self._greeted.get(name):
            case mcp_types.DiscoverResult() as discovered:
                session.adopt(discovered)
            case mcp_types.InitializeResult():
                await session.initialize()
            case None:
                try:
                    self._greeted[name] = await session.discover()
                except (MCPError, ValueError, RuntimeError):
                    # All that a server without discovery may say to it. The wire lets no handshake follow a refusal.
                    self._greeted[name] = await session.initialize()

    def _meta_of(self, attempt: _Attempt) -> Any:
        return {
            **self._meta,
            f"{META}/task": attempt.call.unit,
            f"{META}/attempt": attempt.call.attempt,
            # A gateway gives the call this time, instead of its server's own.
            f"{META}/timeout-seconds": round(attempt.call.timeout_seconds, 3),
        }

    def _result(self, attempt: _Attempt) -> Answer:
        answer = attempt.answer
        if isinstance(answer, mcp_types.CallToolResult):
            if answer.is_error and attempt.wire.unmet:
                raise failures.needs_person(attempt.wire.unmet)
            found = answers.answer(answer)
            self._tools.check(attempt.call.server, attempt.call.tool, answer)
            return found
        if isinstance(answer, mcp_types.InputRequiredResult):
            raise failures.needs_person(_asked(answer))
        raise CallFailed(ErrorClass.PROTOCOL, "the tool answered with something that is no result")


@asynccontextmanager
async def _parting(attempt: _Attempt) -> AsyncIterator[None]:
    """Stay connected until a server that must be told of a cancelled call was told, LEAVE_SECONDS at most."""
    try:
        yield
    except asyncio.CancelledError:
        if attempt.is_told_to_stop and attempt.wire.call_sent:
            with suppress(TimeoutError):
                async with asyncio.timeout(LEAVE_SECONDS):
                    await attempt.wire.withdrawn.wait()
        raise


def _asked(answer: mcp_types.InputRequiredResult) -> str:
    """What a person is asked, in the tool's words where it has any."""
    requests = (answer.input_requests or {}).items()
    return "; ".join(str(getattr(request.params, "message", None) or name) for name, request in requests)


def _has_changed(error: BaseException, seen: wire.Wire) -> bool:
    """Whether a server that was greeted before is another one now: it surely did not run anything then."""
    found = failures.leaf(error)
    if isinstance(found, MCPError) and found.code in _CHANGED:
        return True
    return not isinstance(found, CallFailed) and not seen.call_sent and not (seen.last and seen.last.refused)
