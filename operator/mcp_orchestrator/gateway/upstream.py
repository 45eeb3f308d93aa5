"""The server behind the gateway: one live session, opened when needed, shared by all. Used by bridge and health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import prometheus_client
from mcp.client.streamable_http import streamable_http_client

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.gateway import child, config, diagnosis, egress, report, sdk
from mcp_orchestrator.gateway.failures import Failure, FailureClass, UpstreamError, leaf
from mcp_orchestrator.gateway.redaction import Redactor

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""A server that failed to start is not started again sooner, however many calls ask for it."""
SHORT_LIFE_SECONDS = 10.0
"""A server that keeps ending sooner than this after it answered is started again later and later."""
LONGEST_PAUSE_SECONDS = 30.0
ENDING_SECONDS = 4.0
"""How long a failed call waits at most until it is known how the process ended."""

RESTARTS = prometheus_client.Counter(
    "mcp_orchestrator_mcp_server_restarts",
    "Starts of a server's process after the first.",
    ("server_name",),
    registry=telemetry.GATEWAY,
)


class Upstream:
    """Opens the server's session on demand, notices its end, and says why there is none.

    One session serves all clients: requests on it are told apart by their ids, and it is the only way to share one
    process. `on_down` is called whenever a session that worked has ended.
    """

    def __init__(self, configuration: config.GatewayConfig, environ: Mapping[str, str], redactor: Redactor) -> None:
        self.configuration = configuration
        self.redactor = redactor
        self.on_down: Callable[[], None] = lambda: None
        self.calls_in_flight = 0
        self.late_calls = 0
        """Requests whose time was over, since the last call that had an answer: a server with some is not just busy."""
        self.last_exit: report.Exit | None = None
        self._environ = environ
        self._starts = 0
        self._session: sdk.Session | None = None
        self._opening: asyncio.Future[sdk.Session] | None = None
        self._task: asyncio.Task[None] | None = None
        self._stop = asyncio.Event()
        self._failure: Failure | None = None
        self._not_before = 0.0
        self._short_lives = 0
        self._child: child.Child | None = None
        self._seen_tools: Mapping[str, Any] = {}

    @property
    def restarts(self) -> int:
        """How often the server's process was started after the first time."""
        return max(0, self._starts - 1)

    @property
    def last_lines(self) -> str:
        """What the server's process wrote last to its standard error, secrets taken out."""
        return self._child.tail() if self._child else ""

    @property
    def live(self) -> sdk.Session | None:
        """The session, if there is one."""
        return self._session

    @property
    def has_session_id(self) -> bool:
        """Whether the server may forget the session: one of the handshake era, reached over HTTP."""
        live = self._session
        return live is not None and live.initialize_result is not None and self.configuration.stdio is None

    async def session(self) -> sdk.Session:
        """The live session, opened if there is none. All who ask meanwhile share the attempt.

        Raises UpstreamError.
        """
        while self._session is None:
            if self._opening is not None:
                return await asyncio.shield(self._opening)
            if self._failure is not None and asyncio.get_running_loop().time() < self._not_before:
                raise UpstreamError(self._failure)
            if self._task is not None and not self._task.done():
                # The last one is still ending. Whoever comes back first opens the next.
                await asyncio.wait({self._task})
            else:
                self._open()
        return self._session

    def interim(self) -> Failure:
        """What to say about a server that is taking long to answer for the first time."""
        return diagnosis.slow_start(self.configuration, self._child)

    def explain(self, error: BaseException, exchange: egress.Exchange) -> Failure:
        """`error`, met while talking with the server, for a person."""
        failure = diagnosis.explain(self.configuration, error, exchange, self._child, self._seen_tools)
        return Failure(failure.failure_class, self.redactor.text(failure.message))

    async def ending(self) -> Failure | None:
        """How the last process ended, once that is known; None for a server that is no process."""
        if self.configuration.stdio is None:
            return None
        if self._task is not None and self._opening is None:
            await asyncio.wait({self._task}, timeout=ENDING_SECONDS)
        return self._failure

    @contextmanager
    def call(self) -> Any:
        """Count a call as in flight: a busy server is not mistaken for a dead one."""
        self.calls_in_flight += 1
        try:
            yield
            self.late_calls = 0
        finally:
            self.calls_in_flight -= 1

    async def close(self, session: sdk.Session | None = None) -> None:
        """End the session and, for a stdio server, its process. The next request opens a new one.

        With `session`, only if that is still the one: somebody else may have replaced it already.
        """
        if self._task is None or (session is not None and session is not self._session):
            return
        self._stop.set()
        if self._opening is not None:
            self._task.cancel()
        await asyncio.wait({self._task})

    def _open(self) -> None:
        self._stop = asyncio.Event()
        self._opening = asyncio.get_running_loop().create_future()
        # Somebody may have stopped waiting: an unread failure is no error of the program.
        self._opening.add_done_callback(lambda future: future.cancelled() or future.exception())
        self._task = asyncio.create_task(self._own(self._opening, self._stop))

    async def _own(self, opening: asyncio.Future[sdk.Session], stop: asyncio.Event) -> None:
        exchange = egress.Exchange()
        egress.EXCHANGE.set(exchange)
        clock = asyncio.get_running_loop().time
        answered_at: float | None = None
        error: BaseException | None = None
        try:
            async with self._streams() as (read, write), self._new_session(read, write, exchange) as session:
                async with asyncio.timeout(self.configuration.start_timeout_seconds):
                    await sdk.negotiate(session, self.configuration.protocol)
                answered_at, self._session, self._opening = clock(), session, None
                opening.set_result(session)
                await _first(stop.wait(), session.ended.wait())
                self._session = None
        except Exception as caught:  # the owner of the session: nobody else would report what ended it
            error = leaf(caught)
        finally:
            self._session, self._opening = None, None
            if asyncio.current_task().cancelling() and not opening.done():  # type: ignore[union-attr]
                stopping = Failure(FailureClass.CONNECT, "the gateway is stopping")
                opening.set_exception(UpstreamError(stopping))
        if answered_at is None:
            self._not_started(error or ConnectionError("the connection was closed"), exchange, opening)
        elif not stop.is_set():
            self._ended(clock() - answered_at, error or ConnectionError("the connection was closed"))

    def _not_started(
        self, error: BaseException, exchange: egress.Exchange, opening: asyncio.Future[sdk.Session]
    ) -> None:
        self._failure = self.explain(error, exchange)
        self._not_before = asyncio.get_running_loop().time() + RETRY_SECONDS
        opening.set_exception(UpstreamError(self._failure))

    def _ended(self, lived_seconds: float, error: BaseException) -> None:
        self._failure = self.explain(error, egress.Exchange())
        log.warning("%s", self._failure.message)
        if self.configuration.stdio is not None:
            self.last_exit = report.Exit(settings.clock(), self._failure.message)
        self._short_lives = self._short_lives + 1 if lived_seconds < SHORT_LIFE_SECONDS else 0
        pause = min(LONGEST_PAUSE_SECONDS, 2.0 ** (self._short_lives - 2)) if self._short_lives > 1 else 0.0
        self._not_before = asyncio.get_running_loop().time() + pause
        self.on_down()

    def _new_session(self, read: Any, write: Any, exchange: egress.Exchange) -> sdk.Session:
        def remember(result: Mapping[str, Any]) -> None:
            self._seen_tools = result

        return sdk.Session(
            read,
            write,
            name="mcp-orchestrator-gateway",
            refused=lambda: diagnosis.is_refusal(exchange),
            on_tools=remember,
        )

    @asynccontextmanager
    async def _streams(self) -> AsyncIterator[tuple[Any, Any]]:
        """What a session is built on: the streams to read from and to write to."""
        source = self.configuration.stdio
        if source is not None:
            self._child = None
            env = config.child_environment(self._environ)
            async with child.running(source.command, source.args, env, self.redactor.text) as process:
                self._child = process
                self._count_start()
                yield process.read, process.write
            return
        async with (
            self._http_client() as (url, client),
            streamable_http_client(url, http_client=client, max_sse_event_size=None) as streams,
        ):
            yield streams

    def _count_start(self) -> None:
        self._starts += 1
        if self._starts > 1:
            RESTARTS.labels(server_name=self.configuration.name).inc()

    @asynccontextmanager
    async def _http_client(self) -> AsyncIterator[tuple[str, Any]]:
        remote, local = self.configuration.remote, self.configuration.http
        if remote is not None:
            try:
                headers = config.header_values(remote, self._environ)
            except config.MissingSecret as error:
                raise UpstreamError(Failure(FailureClass.SECRET_MISSING, str(error))) from None
            client, url = egress.http_client(headers, public_only=not remote.allow_private), remote.url
        else:
            assert local is not None  # noqa: S101 - for the type checker: exactly one source is set
            client, url = egress.http_client({}, public_only=False), local.url
        async with client:
            yield url, client


async def _first(*waits: Any) -> None:
    tasks = {asyncio.ensure_future(wait) for wait in waits}
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
