"""When the check loop looks, and whom it takes for busy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import mcp_types
import pytest
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator.gateway import config, health, redaction, upstream
from mcp_orchestrator.gateway.failures import Failure, FailureClass


class FakeServer:
    """An upstream with one session, whose lists come when `answering` is set."""

    def __init__(self) -> None:
        self.configuration = config.GatewayConfig.model_validate(
            {"name": "x", "stdio": {"command": "x"}, "healthCheck": {"intervalSeconds": 3600, "timeoutSeconds": 0.05}}
        )
        self.redactor = redaction.Redactor(frozenset())
        self.answering = asyncio.Event()
        self.answering.set()
        self.lists = 0
        self.restarts = self.calls_in_flight = self.late_calls = self.closed = 0
        self.has_session_id = False
        self.on_down: Callable[[], None] = lambda: None
        self.on_list: Callable[[], None] = lambda: None
        self.server_capabilities = self.server_info = self.protocol_version = None

    async def session(self) -> FakeServer:
        return self

    async def list_tools(self, params: object) -> mcp_types.ListToolsResult:
        self.lists += 1
        await self.answering.wait()
        self.on_list()
        return mcp_types.ListToolsResult(tools=[])

    def explain(self, *_: object) -> Failure:
        return Failure(FailureClass.TIMEOUT, "it is slow")

    async def close(self, session: FakeServer) -> None:
        assert session is self
        self.closed += 1


def checks_of(server: FakeServer) -> health.Health:
    return health.Health(cast(upstream.Upstream, cast(Any, server)))


async def test_what_is_found_broken_during_a_check_is_looked_at_after_it() -> None:
    server = FakeServer()
    checks = checks_of(server)
    again = asyncio.Event()
    server.on_list = lambda: again.set() if server.lists > 1 else checks.wake()
    loop = asyncio.create_task(checks.run())
    try:
        await asyncio.wait_for(again.wait(), PATIENCE_SECONDS)
    finally:
        loop.cancel()


@pytest.mark.parametrize(
    ("in_flight", "late", "ok"),
    [
        pytest.param(1, 0, True, id="busy"),
        pytest.param(1, 1, False, id="calls run out of time too"),
        pytest.param(0, 0, False, id="idle"),
    ],
)
async def test_a_server_without_an_answer_is_busy_only_while_its_calls_are_not_late(
    in_flight: int, late: int, ok: bool
) -> None:
    server = FakeServer()
    checks = checks_of(server)
    await checks.check()
    server.answering.clear()
    server.calls_in_flight, server.late_calls = in_flight, late
    await checks.check()
    assert checks.report.ok is ok
    assert server.closed == 0


async def test_a_server_that_hangs_is_ended_once_no_call_is_in_flight() -> None:
    server = FakeServer()
    checks = checks_of(server)
    server.answering.clear()
    server.calls_in_flight = 1
    for _ in range(health.HUNG_CHECKS):
        await checks.check()
    assert server.closed == 0
    server.calls_in_flight = 0
    await checks.check()
    assert server.closed == 1
