"""How much a run asks of its servers at once: 20 calls and connections each, 100 in all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import pytest_asyncio
from tests.integration.runner import faulty_http
from tests.integration.runner.calling import a_call, real_server
from tests.integration.runner.faulty_http import Faulty
from tests.waiting import eventually

from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.calls.tools import McpCaller
from mcp_orchestrator.runner.calls.turns import Turns
from mcp_orchestrator.runner.results.answers import Answer


class Crowd(McpCaller):
    """Makes each call when it is its turn, as the engine does."""

    def __init__(self, urls: dict[str, str]) -> None:
        super().__init__(urls, run_uid="r")
        self._turns = Turns()

    async def call(self, call: Call) -> Answer:
        async with self._turns.of(call.server):
            return await super().call(call)


@pytest_asyncio.fixture
async def busy() -> AsyncIterator[Faulty]:
    async with faulty_http.serving() as running:
        yield running


@pytest_asyncio.fixture
async def other() -> AsyncIterator[Faulty]:
    async with faulty_http.serving() as running:
        yield running


async def under_way(faulty: Faulty, calls: int) -> None:
    async def check() -> bool:
        return faulty.waits == calls

    await eventually(f"{calls} calls at once", check)


@pytest.mark.parametrize("options", [pytest.param([], id="modern"), pytest.param(["--legacy"], id="handshake")])
async def test_a_real_server_gets_twenty_calls_at_once_and_all_in_the_end(options: list[str]) -> None:
    with real_server(*options) as url:
        async with Crowd({"x": url}) as caller:
            calls = (caller.call(a_call("crowd", 60, unit=f"t{number}", least=20, seconds=0.5)) for number in range(64))
            found = [answer.result["result"] for answer in await asyncio.gather(*calls)]
    assert len(found) == 64
    assert max(found) == 20


@pytest.mark.parametrize("era", ["modern", "legacy", "stateless"])
async def test_a_server_never_has_more_than_twenty_connections(busy: Faulty, era: str) -> None:
    async with Crowd({"x": busy.url(f"/held?era={era}")}) as caller:
        calls = [asyncio.create_task(caller.call(a_call(unit=f"t{number}"))) for number in range(64)]
        await under_way(busy, 20)
        assert len(busy.calls()) == 20
        busy.release.set()
        assert {answer.result for answer in await asyncio.gather(*calls)} == {"good"}
    assert busy.most_waits == 20
    assert busy.most_connections == 20
    assert "GET" not in busy.verbs()


async def test_a_hundred_calls_at_once_are_all_that_a_run_makes() -> None:
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(faulty_http.serving()) for _ in range(7)]
        urls = {str(number): server.url("/held") for number, server in enumerate(servers)}
        caller = await stack.enter_async_context(Crowd(urls))
        calls = [
            asyncio.create_task(caller.call(replace(a_call(unit=f"t{number}"), server=name)))
            for name in urls
            for number in range(20)
        ]

        async def full() -> bool:
            return sum(server.waits for server in servers) == 100

        await eventually("a hundred calls at once", full)
        assert sum(len(server.connections) for server in servers) == 100
        for server in servers:
            server.release.set()
        assert {answer.result for answer in await asyncio.gather(*calls)} == {"good"}
    assert max(server.most_connections for server in servers) <= 20


async def test_a_crowd_at_one_server_holds_up_no_call_to_another(busy: Faulty, other: Faulty) -> None:
    async with Crowd({"x": busy.url("/held"), "y": other.url("/good")}) as caller:
        crowd = [asyncio.create_task(caller.call(a_call(unit=f"t{number}"))) for number in range(40)]
        await under_way(busy, 20)
        assert (await caller.call(Call("free", "y", "t", {}, 30))).result == "good"
        busy.release.set()
        await asyncio.gather(*crowd)


async def test_waiting_for_its_turn_takes_nothing_of_a_call_s_own_time(busy: Faulty, other: Faulty) -> None:
    async with Crowd({"x": busy.url("/held"), "y": other.url("/silence")}) as caller:
        crowd = [asyncio.create_task(caller.call(a_call(unit=f"t{number}"))) for number in range(20)]
        await under_way(busy, 20)
        late = asyncio.create_task(caller.call(a_call(unit="late", timeout_seconds=3)))
        with pytest.raises(CallFailed):  # a clock: it ends when more than the time of `late` has gone by
            await caller.call(Call("clock", "y", "t", {}, 3.5))
        assert not late.done()
        busy.release.set()
        assert (await late).result == "good"
        await asyncio.gather(*crowd)


async def test_a_call_that_is_cancelled_while_it_waits_takes_nobody_s_turn(busy: Faulty) -> None:
    async with Crowd({"x": busy.url("/held")}) as caller:
        crowd = [asyncio.create_task(caller.call(a_call(unit=f"t{number}"))) for number in range(20)]
        await under_way(busy, 20)
        gone, patient = (asyncio.create_task(caller.call(a_call(unit=unit))) for unit in ("gone", "patient"))
        await asyncio.sleep(0)
        gone.cancel()
        busy.release.set()
        assert (await patient).result == "good"
        await asyncio.gather(*crowd)
        with pytest.raises(asyncio.CancelledError):
            await gone
    assert len(busy.calls()) == 21
