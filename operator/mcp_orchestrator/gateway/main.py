"""The `gateway` program in a server's pod: /mcp, /status, /readyz, /livez and /metrics until SIGTERM."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.gateway import config

if TYPE_CHECKING:
    import uvicorn
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from mcp_orchestrator.gateway import health, upstream

log = logging.getLogger(__name__)

KEEP_ALIVE_SECONDS = 75
"""Longer than clients keep idle connections (5 s in httpx): whoever closes first must not be the one that answers."""


def run() -> int:
    """Run until SIGTERM. Returns the exit code: 2 with one line on standard error for a bad configuration."""
    try:
        general = settings.read(os.environ)
        configuration = config.read()
    except (settings.InvalidSetting, config.InvalidConfig) as error:
        print(error, file=sys.stderr)
        return 2
    telemetry.set_up_logging(general.log_level, general.mode == "production")
    telemetry.set_build_info(metadata.version("mcp-orchestrator"))
    asyncio.run(serve(configuration))
    return 0


async def serve(configuration: config.GatewayConfig) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled."""
    environ = dict(os.environ)
    _quiet_libraries()
    # Imported here: they take a second, and a bad configuration should be told at once.
    from mcp_orchestrator.gateway import bridge, health, redaction, upstream

    names = frozenset(header.env for header in (configuration.remote.headers if configuration.remote else ()))
    redactor = redaction.Redactor(redaction.secrets(environ, names))
    server = upstream.Upstream(configuration, environ, redactor)
    checks = health.Health(server)
    listener = _listen(configuration.host, configuration.port)
    port: int = listener.getsockname()[1]
    checking = asyncio.create_task(checks.run())
    checking.add_done_callback(_tell)
    application = _application(bridge.session_manager(bridge.Bridge(server, checks)), server, checks, checking)
    front = _front(application, configuration.drain_seconds)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, setattr, front, "should_exit", True)
    log.info("listening", extra={"port": port, "object_name": configuration.name, "namespace": configuration.namespace})
    try:
        await front.serve(sockets=[listener])
    finally:
        checking.cancel()
        await server.close()
        listener.close()


def _tell(checking: asyncio.Task[None]) -> None:
    if not checking.cancelled():
        log.error("the check loop has ended, and /livez says so", exc_info=checking.exception())


def _front(app: Starlette, drain_seconds: int) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Any:
            # Its own handling ends the process before the server's child is ended.
            yield

    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=drain_seconds,
            lifespan="on",
        )
    )


def _listen(host: str, port: int) -> socket.socket:
    dual = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual or ":" in host else socket.AF_INET
    # The protocol is named because asyncio turns Nagle's algorithm off only for sockets that do, at 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if dual:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind((host, port))
    listener.listen(512)
    return listener


def _application(
    front: StreamableHTTPSessionManager,
    server: upstream.Upstream,
    checks: health.Health,
    checking: asyncio.Task[None],
) -> Starlette:
    from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, PlainTextResponse, Response
    from starlette.routing import Route

    async def status(_: Request) -> Response:
        return JSONResponse(checks.report.wire(server.last_exit, server.last_lines))

    async def ready(_: Request) -> Response:
        failure = checks.report.failure
        reason = failure.message if failure else "starting"
        return PlainTextResponse("ok") if checks.report.ok else PlainTextResponse(reason, 503)

    async def live(_: Request) -> Response:
        return PlainTextResponse("the check loop has ended", 500) if checking.done() else PlainTextResponse("ok")

    async def metrics(request: Request) -> Response:
        body, content_type = telemetry.scrape(telemetry.GATEWAY, request.headers.get("accept", ""))
        return Response(body, media_type=content_type)

    plain = (("/status", status), ("/readyz", ready), ("/livez", live), ("/metrics", metrics))
    routes = [Route(path, endpoint, methods=["GET"]) for path, endpoint in plain]
    # Without sessions there is nothing to GET or DELETE.
    routes.append(Route("/mcp", StreamableHTTPASGIApp(front), methods=["POST"]))
    return Starlette(routes=routes, lifespan=lambda _: front.run())


def _quiet_libraries() -> None:
    # They tell every step of every request, and with tracebacks what the gateway says in one line.
    for name in ("mcp", "client", "httpx2", "httpcore2", "uvicorn", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
