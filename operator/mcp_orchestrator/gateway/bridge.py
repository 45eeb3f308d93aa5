"""The endpoint /mcp: serves clients of both eras over the one shared session. Built by gateway.main.

It is a relay on the SDK's own server: what the server answers reaches the client as it is.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import mcp_types
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from pydantic import ValidationError

from mcp_orchestrator import telemetry
from mcp_orchestrator.gateway import diagnosis, egress, health, sdk, upstream
from mcp_orchestrator.gateway.failures import Failure, FailureClass, UpstreamError

log = logging.getLogger(__name__)

TIMEOUT_META = "mcp-orchestrator.io/timeout-seconds"
"""Key of a call's _meta: the seconds that this call may take, instead of the server's timeoutSeconds."""
LONGEST_CALL_SECONDS = 604_800.0
BODY_BYTES = 4 * 1024 * 1024
"""The largest request that a client may send."""
_GRACE_SECONDS = 5.0
"""On top of a request's limit, for handing it over: a process that reads nothing would never take it."""
_HOP_META = frozenset(
    {
        mcp_types.PROTOCOL_VERSION_META_KEY,
        mcp_types.CLIENT_INFO_META_KEY,
        mcp_types.CLIENT_CAPABILITIES_META_KEY,
        "progressToken",
        TIMEOUT_META,
    }
)
"""What describes the client's own connection or this hop, and must not cross to the server."""
_TROUBLE = (UpstreamError, MCPError, ValidationError, RuntimeError, TimeoutError)
"""What talking with a server raises. RuntimeError is the SDK's word for answers that it can't make sense of."""

Context = ServerRequestContext[Any, Any]


class Bridge(Server[Any]):
    """The server that clients see: the upstream's name and abilities, its answers, or why there are none."""

    def __init__(self, server: upstream.Upstream, checks: health.Health) -> None:
        self._server = server
        self._checks = checks
        super().__init__(
            server.configuration.name,
            get_tool_input_schema=checks.input_schema,
            on_list_tools=self._list(mcp_types.ListToolsRequest, mcp_types.ListToolsResult),
            on_call_tool=self._call_tool,
            on_list_resources=self._list(mcp_types.ListResourcesRequest, mcp_types.ListResourcesResult),
            on_list_resource_templates=self._list(
                mcp_types.ListResourceTemplatesRequest, mcp_types.ListResourceTemplatesResult
            ),
            on_read_resource=self._read_resource,
            on_list_prompts=self._list(mcp_types.ListPromptsRequest, mcp_types.ListPromptsResult),
            on_get_prompt=self._get_prompt,
            on_completion=self._complete,
        )
        self.middleware.append(self._introduce)

    @property
    def server_info(self) -> mcp_types.Implementation:
        """The identity of the server behind, once it is known."""
        session = self._server.live
        return (session.server_info if session else None) or mcp_types.Implementation(name=self.name, version="")

    @property
    def server_info_stamp(self) -> dict[str, Any]:
        """The identity as it is stamped into modern answers."""
        return self.server_info.model_dump(by_alias=True, mode="json", exclude_none=True)

    def get_capabilities(self, *args: Any, **kwargs: Any) -> mcp_types.ServerCapabilities:
        """What the server behind can do, as far as the relay carries it."""
        carried = super().get_capabilities(*args, **kwargs)
        session = self._server.live
        theirs = session.server_capabilities if session else None
        if theirs is None:
            return carried
        absent = [name for name in ("tools", "resources", "prompts", "completions") if getattr(theirs, name) is None]
        return carried.model_copy(update=dict.fromkeys(absent))

    async def _introduce(self, ctx: Context, call_next: CallNext) -> HandlerResult:
        """Before a client is told who answers, find out: a dead server is an error and not an empty one."""
        if ctx.method in ("initialize", "server/discover"):
            await self._relay(ctx, _nothing)
            session = self._server.live
            info = self.server_info
            self.name, self.version, self.title = info.name, info.version, info.title
            self.instructions = session.instructions if session else None
        return await call_next(ctx)

    def _list(
        self, request_type: type[Any], result_type: type[Any]
    ) -> Callable[[Context, mcp_types.PaginatedRequestParams | None], Awaitable[Any]]:
        async def handle(ctx: Context, params: mcp_types.PaginatedRequestParams | None) -> Any:
            asked = mcp_types.PaginatedRequestParams(cursor=params.cursor) if params and params.cursor else None
            return await self._relay(
                ctx, lambda session, limit: session.send_request(request_type(params=asked), result_type, limit)
            )

        return handle

    async def _call_tool(
        self, ctx: Context, params: mcp_types.CallToolRequestParams
    ) -> mcp_types.CallToolResult | mcp_types.InputRequiredResult:
        begun, status = time.monotonic(), "error"
        try:
            with self._server.call():
                result: Any = await self._relay(
                    ctx,
                    lambda session, limit: session.call_tool(
                        params.name,
                        params.arguments,
                        read_timeout_seconds=limit,
                        progress_callback=ctx.session.report_progress,
                        input_responses=params.input_responses,
                        request_state=params.request_state,
                        meta=_onward(ctx),
                        allow_input_required=True,
                    ),
                )
            status = "tool_error" if isinstance(result, mcp_types.CallToolResult) and result.is_error else "ok"
            return result  # type: ignore[no-any-return]
        finally:
            name = self._server.configuration.name
            telemetry.SERVER_REQUESTS.labels(server_name=name, status=status).inc()
            telemetry.SERVER_RESPONSE_TIME.labels(server_name=name).observe(time.monotonic() - begun)

    async def _read_resource(self, ctx: Context, params: mcp_types.ReadResourceRequestParams) -> Any:
        return await self._relay(
            ctx,
            lambda session, _: session.read_resource(
                params.uri,
                input_responses=params.input_responses,
                request_state=params.request_state,
                meta=_onward(ctx),
                allow_input_required=True,
            ),
        )

    async def _get_prompt(self, ctx: Context, params: mcp_types.GetPromptRequestParams) -> Any:
        return await self._relay(
            ctx,
            lambda session, _: session.get_prompt(
                params.name,
                params.arguments,
                input_responses=params.input_responses,
                request_state=params.request_state,
                meta=_onward(ctx),
                allow_input_required=True,
            ),
        )

    async def _complete(self, ctx: Context, params: mcp_types.CompleteRequestParams) -> mcp_types.CompleteResult:
        asked = mcp_types.CompleteRequestParams(ref=params.ref, argument=params.argument, context=params.context)
        result: mcp_types.CompleteResult = await self._relay(
            ctx,
            lambda session, limit: session.send_request(
                mcp_types.CompleteRequest(params=asked), mcp_types.CompleteResult, limit
            ),
        )
        return result

    async def _relay(self, ctx: Context, ask: Callable[[sdk.Session, float], Awaitable[Any]]) -> Any:
        """Hand one request to the server. The answer, or an MCPError that tells what became of the request."""
        limit = self._limit((ctx.meta or {}).get(TIMEOUT_META))
        for last in (False, True):
            exchange = egress.Exchange()
            egress.EXCHANGE.set(exchange)
            session: sdk.Session | None = None
            try:
                async with asyncio.timeout(limit + _GRACE_SECONDS):
                    session = await self._server.session()
                    return await ask(session, limit)
            except _TROUBLE as error:
                late = sdk.is_timeout(error)
                if exchange.status == 404 and not late and self._server.has_session_id and not last:
                    # The server doesn't know the session any more, so it ran nothing: a restarted container, mostly.
                    await self._server.close(session)
                    continue
                sent = session is not None and (late or not diagnosis.is_refused_connection(exchange))
                raise await self._answer(error, exchange, limit, sent=sent) from error
        raise AssertionError("unreachable")

    def _limit(self, asked: object) -> float:
        if isinstance(asked, int | float) and asked > 0:
            return float(min(asked, LONGEST_CALL_SECONDS))
        return self._server.configuration.timeout_seconds

    async def _answer(self, error: Exception, exchange: egress.Exchange, limit: float, *, sent: bool) -> MCPError:
        """What the client gets: the server's own JSON-RPC error as it is, or why there is no answer."""
        lost, late = sdk.is_unanswered(error), sdk.is_timeout(error)
        if isinstance(error, MCPError) and not lost and not late and not diagnosis.is_http(error, exchange):
            return error
        if late:
            self._server.late_calls += 1
            failure = Failure(FailureClass.TIMEOUT, f"no answer within {limit:g} s (spec.timeoutSeconds)")
        else:
            failure = self._server.explain(error, exchange)
            if lost:
                # The process has hung up; how it ended is known a moment later.
                failure = await self._server.ending() or failure
            self._checks.wake()
        telemetry.ERRORS.labels(error_type=failure.failure_class.value, component="gateway").inc()
        log.warning("a request failed: %s: %s", failure.failure_class, failure.message)
        return _error(self._server.configuration.name, failure, exchange, sent=sent)


def session_manager(bridge: Bridge) -> StreamableHTTPSessionManager:
    """The Streamable HTTP front of `bridge`.

    Stateless: handshake-era clients need no sticky sessions. Any Host is welcome: the Service's name is the usual one.
    """
    return StreamableHTTPSessionManager(
        bridge,
        stateless=True,
        max_request_body_size=BODY_BYTES,
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )


async def _nothing(session: sdk.Session, limit: float) -> None:
    """Ask nothing: the session is there, which is all that was wanted."""


def _onward(ctx: Context) -> Any:
    meta: Mapping[str, Any] = ctx.meta or {}
    return {key: value for key, value in meta.items() if key not in _HOP_META} or None


def _error(name: str, failure: Failure, exchange: egress.Exchange, *, sent: bool) -> MCPError:
    data: dict[str, Any] = {"class": failure.failure_class.value, "sent": sent}
    if exchange.status >= 300:
        data["httpStatus"] = exchange.status
    if exchange.retry_after:
        data["retryAfter"] = exchange.retry_after
    code = mcp_types.REQUEST_TIMEOUT if failure.failure_class is FailureClass.TIMEOUT else mcp_types.CONNECTION_CLOSED
    return MCPError(code, f"server {name}: {failure.message}", data)
