"""The watcher of orders: every other second, and whatever the API server has to say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.cluster import virtual_time
from tests.unit.runner import fake_status

from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.runner.control.orders import Order
from mcp_orchestrator.runner.control.watching import Watcher

SUSPEND = {"spec": {"suspend": True}}
CANCEL = {"status": {"cancellation": {"mode": "Immediate", "reason": "Replaced", "message": "why"}}}


def a_view(generation: int = 1, uid: str = "u1", **parts: dict[str, Any]) -> dict[str, Any]:
    """The run as the API server shows it."""
    body = fake_status.a_run_body()
    metadata = body["metadata"] | {"generation": generation, "uid": uid}
    return {"metadata": metadata} | {part: body[part] | parts.get(part, {}) for part in ("spec", "status")}


def obeyed(*answers: dict[str, Any] | Exception, own: tuple[dict[str, Any], ...] = ()) -> list[tuple[float, Order]]:
    """The orders that are obeyed, and when, if the run is looked at with these answers, the last one for good.

    `own` are views that the writing of a status brings, at the first second.
    """
    found: list[tuple[float, Order]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        watcher = Watcher(WorkflowRun.model_validate(a_view()))
        left = list(answers)

        async def look() -> dict[str, Any]:
            answer = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(answer, Exception):
                raise answer
            return answer

        for view in own:
            loop.call_later(1, watcher.see, view)
        async with watcher.watching(look) as orders:
            with orders.followed(lambda order: found.append((loop.time(), order))):
                await asyncio.sleep(11)

    virtual_time.run(main())
    return found[1:]


def test_a_run_hears_of_an_order_within_two_seconds_and_once() -> None:
    ((second, order),) = obeyed(a_view(), a_view(2, **SUSPEND))
    assert (second, order.suspend) == (4, True)


def test_the_answer_to_a_report_tells_it_sooner() -> None:
    ((second, order),) = obeyed(a_view(2, **SUSPEND), own=(a_view(2, **SUSPEND),))
    assert (second, order.suspend) == (1, True)


def test_the_operator_s_order_changes_no_generation() -> None:
    ((_, order),) = obeyed(a_view(1, **CANCEL))
    assert (order.cancel, order.reason, order.message) == (CancelMode.IMMEDIATE, "Replaced", "why")


@pytest.mark.parametrize(
    "error",
    [
        errors.NotFound("the cache is behind"),
        errors.Forbidden("rights were taken away"),
        errors.Unavailable("connection refused"),
        errors.ApiError("oops", status=500),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_of_the_api_server_only_delay(error: Exception) -> None:
    ((second, _),) = obeyed(error, error, a_view(2, **SUSPEND))
    assert second == 6


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda: a_view(1), id="an older view than the last one"),
        pytest.param(lambda: a_view(9, uid="u2", spec={"cancel": "Immediate"}), id="another run of the name"),
        pytest.param(lambda: a_view(9, spec={"cancel": "OfALaterVersion"}), id="what can't be read"),
    ],
)
def test_what_says_nothing_of_the_run_as_it_is_now_changes_nothing(view: Callable[[], dict[str, Any]]) -> None:
    ((_, order),) = obeyed(a_view(2, **SUSPEND), view())
    assert order.suspend


def test_a_suspension_is_taken_back_by_a_later_view() -> None:
    assert [order.suspend for _, order in obeyed(a_view(2, **SUSPEND), a_view(3))] == [True, False]
