"""A call that is given up, by its time-out or from outside, ends at the server too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.integration.runner.calling import a_call, call, failure, real_server
from tests.integration.runner.faulty_http import Faulty
from tests.waiting import PATIENCE_SECONDS, eventually

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner.calls.tools import McpCaller

ERAS = [pytest.param([], id="modern"), pytest.param(["--legacy"], id="handshake")]


@pytest.mark.parametrize("options", ERAS)
async def test_time_over_stops_the_tool_of_a_real_server(options: list[str], tmp_path: Path) -> None:
    mark = tmp_path / "cancelled"
    with real_server(*options) as server:
        caught = await failure(server, "slow", 3, seconds=600, mark=str(mark))
        assert caught.error_class == ErrorClass.TIMEOUT
        await eventually("the tool's end", _exists(mark))


@pytest.mark.parametrize("options", ERAS)
async def test_cancelling_stops_the_tool_of_a_real_server(options: list[str], tmp_path: Path) -> None:
    mark, begun = tmp_path / "cancelled", tmp_path / "begun"
    with real_server(*options) as server:
        task = asyncio.create_task(call(server, "slow", seconds=600, mark=str(mark), begun=str(begun)))
        await eventually("the call", _exists(begun))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await eventually("the tool's end", _exists(mark))


async def test_a_modern_call_is_cancelled_by_closing_its_stream(faulty: Faulty) -> None:
    await _cancelled(faulty, "/silence")
    assert faulty.notifications == []


@pytest.mark.parametrize("fault", ["/silence", "/comments"])
@pytest.mark.parametrize("era", ["legacy", "stateless"])
async def test_an_older_server_is_told_which_call_is_cancelled(faulty: Faulty, era: str, fault: str) -> None:
    await _cancelled(faulty, f"{fault}?era={era}")
    async with asyncio.timeout(PATIENCE_SECONDS):
        told = await faulty.told.get()
    assert told["requestId"] == faulty.requests[-1]["id"]
    assert ("DELETE" in faulty.verbs()) == (era == "legacy")


async def test_an_older_server_is_told_of_a_time_out(faulty: Faulty) -> None:
    await failure(faulty.url("/silence?era=legacy"), timeout_seconds=2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert (await faulty.told.get())["requestId"] == faulty.requests[-1]["id"]


@pytest.mark.parametrize("era", ["legacy", "stateless"])
async def test_an_older_server_is_told_of_twenty_cancelled_calls(faulty: Faulty, era: str) -> None:
    async with McpCaller({"x": faulty.url(f"/silence?era={era}")}, run_uid="r") as caller:
        calls = [asyncio.create_task(caller.call(a_call(unit=f"t{number}"))) for number in range(20)]

        async def begun() -> bool:
            return len(faulty.calls()) == 20

        await eventually("twenty calls", begun)
        for task in calls:
            task.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_SECONDS):
            for _ in calls:
                await faulty.told.get()


@pytest.mark.parametrize("era", ["modern", "legacy", "stateless"])
async def test_a_server_that_does_not_even_say_goodbye_holds_nothing_up(faulty: Faulty, era: str) -> None:
    """Neither the notification nor the end of the session is answered."""
    task = asyncio.create_task(call(faulty.url(f"/silence?era={era}&mute=1"), timeout_seconds=600))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
    task.cancel()
    await asyncio.wait({task}, timeout=PATIENCE_SECONDS)
    assert task.cancelled()


async def _cancelled(faulty: Faulty, path: str) -> None:
    task = asyncio.create_task(call(faulty.url(path)))
    async with asyncio.timeout(PATIENCE_SECONDS):
        await faulty.waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await faulty.cancelled.wait()


def _exists(path: Path) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return path.exists()  # noqa: ASYNC240 - nothing else is waiting

    return check
