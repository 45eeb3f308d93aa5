"""Checks the server again and again, and keeps the last report. Run by gateway.main, woken by gateway.bridge."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import mcp_types

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.gateway import egress, report, upstream
from mcp_orchestrator.gateway.failures import Failure, FailureClass, UpstreamError, leaf

if TYPE_CHECKING:
    from mcp_orchestrator.gateway import sdk

log = logging.getLogger(__name__)

LONGEST_BACKOFF_SECONDS = 30.0
BUSY_SECONDS = 5.0
"""When to look again at a server that is too busy with calls to answer a check."""
HUNG_CHECKS = 3
"""So many checks without an answer, and no call in flight, and a stdio server is started anew."""
MOST_PAGES = 1000
"""A tool list of more pages has no end."""


def backoff_seconds(failures: int) -> float:
    """How long to wait after so many failures in a row: 1, 2, 4 … 30 s."""
    return min(LONGEST_BACKOFF_SECONDS, 2.0 ** min(failures - 1, 10))


class Health:
    """The check loop. `report` is the last report, `wake` asks for a check now."""

    def __init__(self, server: upstream.Upstream) -> None:
        self.report = report.Report()
        self._server = server
        self._wake = asyncio.Event()
        server.on_down = self.wake

    def input_schema(self, tool: str) -> Mapping[str, Any] | None:
        """The schema of a tool's arguments, as of the last good check."""
        found = self.report.findings
        return next((entry["inputSchema"] for entry in found.tools if entry["name"] == tool), None) if found else None

    def wake(self) -> None:
        """Check at once: a call found the server dead, or its process has ended."""
        self._wake.set()

    async def run(self) -> None:
        """Check for ever; a failing server more often than a healthy one, a crashing one not without pause."""
        while True:
            # Before the check: what is found broken while it goes on may have broken after it looked.
            self._wake.clear()
            delay = await self.check()
            earliest = upstream.RETRY_SECONDS if not self.report.ok else 0.0
            await asyncio.sleep(min(earliest, delay))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), delay - min(earliest, delay))

    async def check(self) -> float:
        """Check once and keep the report. Returns the seconds until the next check is due."""
        exchange = egress.Exchange()
        egress.EXCHANGE.set(exchange)
        session: sdk.Session | None = None
        try:
            session = await self._session()
            begun = time.monotonic()
            async with asyncio.timeout(self._server.configuration.health_check.timeout_seconds):
                tools = await _list_tools(session)
        except UpstreamError as error:
            return self._failed(error.failure)
        except Exception as error:  # whatever a foreign server provokes is its failure, and must not end the loop
            return await self._no_answer(session, leaf(error), exchange)
        found = report.findings(session.server_info, session.protocol_version, tools)
        found = replace(found, tools=tuple(self._server.redactor.value(list(found.tools))))
        return self._succeeded(found, round((time.monotonic() - begun) * 1000))

    async def _session(self) -> sdk.Session:
        opening = asyncio.ensure_future(self._server.session())
        limit = self._server.configuration.health_check.timeout_seconds
        await asyncio.wait({opening}, timeout=limit)
        if not opening.done():
            failure = self._server.interim()
            log.warning("%s", failure.message)
            self.report = replace(self.report, ok=False, failure=failure, restarts=self._server.restarts)
        return await opening

    async def _no_answer(self, session: sdk.Session | None, error: BaseException, exchange: egress.Exchange) -> float:
        busy = self._server.calls_in_flight and not self._server.late_calls
        if isinstance(error, TimeoutError) and busy and self.report.ok:
            log.info("the server is too busy with calls to answer a check")
            return BUSY_SECONDS
        failure = self._server.explain(error, exchange)
        delay = self._failed(failure)
        hung = failure.failure_class is FailureClass.TIMEOUT and self.report.consecutive_failures >= HUNG_CHECKS
        forgotten = exchange.status == 404 and self._server.has_session_id
        if session is not None and ((hung and not self._server.calls_in_flight) or forgotten):
            await self._server.close(session)
        return delay

    def _succeeded(self, found: report.Findings, milliseconds: int) -> float:
        if not self.report.ok:
            log.info("the server is ready", extra={"tools": len(found.tools), "protocol": found.protocol_version})
        self.report = report.Report(
            starting=False,
            ok=True,
            checked_at=settings.clock(),
            response_time_milliseconds=milliseconds,
            restarts=self._server.restarts,
            findings=found,
        )
        return self._server.configuration.health_check.interval_seconds

    def _failed(self, failure: Failure) -> float:
        log.warning("the server can't be used: %s: %s", failure.failure_class, failure.message)
        telemetry.ERRORS.labels(error_type=failure.failure_class.value, component="gateway").inc()
        self.report = replace(
            self.report,
            starting=False,
            ok=False,
            checked_at=settings.clock(),
            consecutive_failures=self.report.consecutive_failures + 1,
            restarts=self._server.restarts,
            failure=failure,
        )
        return backoff_seconds(self.report.consecutive_failures)


async def _list_tools(session: sdk.Session) -> list[mcp_types.Tool]:
    capabilities = session.server_capabilities
    if capabilities is not None and capabilities.tools is None:
        return []
    tools: list[mcp_types.Tool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await session.list_tools(params=mcp_types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        tools += page.tools
        cursor = page.next_cursor
        if not cursor:
            return tools
    raise RuntimeError(f"tools/list goes on for more than {MOST_PAGES} pages")
