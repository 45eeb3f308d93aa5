"""The recorder of Events against a small fake of the API."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors, events, resources

Object = dict[str, Any]
RUN: Object = {
    "apiVersion": "mcp-orchestrator.io/v1alpha1",
    "kind": "WorkflowRun",
    "metadata": {"name": "a", "namespace": "team", "uid": "u1", "resourceVersion": "7"},
    "spec": {},
}
ANOTHER_RUN = RUN | {"metadata": {"name": "a", "namespace": "team", "uid": "u2"}}


class Api:
    """Keeps what it is sent; refuses it while told to."""

    def __init__(self) -> None:
        self.created: list[Object] = []
        self.refusal: errors.ApiError | None = None

    async def create(self, resource: resources.Resource, body: Object) -> Object:
        assert resource is resources.EVENTS
        await asyncio.sleep(0)
        if self.refusal:
            raise self.refusal
        self.created.append(body)
        return body


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def a_recorder(api: Api, clock: Clock | None = None, **options: Any) -> AsyncIterator[events.Recorder]:
    subject = events.Recorder(api, instance="pod-1", monotonic=clock or Clock(), **options)
    task = asyncio.create_task(subject.run())
    yield subject
    await subject.flush(5)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_an_event_says_what_happened_to_which_object_and_who_tells() -> None:
    api = Api()
    async with a_recorder(api) as subject:
        subject.emit(RUN, type="Warning", reason="TaskFailed", action="RunTask", note="é" * 600)
    (event,) = api.created
    assert event["metadata"]["namespace"] == "team"
    assert event["metadata"]["name"].startswith("a.")
    assert event["regarding"] == {
        "apiVersion": "mcp-orchestrator.io/v1alpha1",
        "kind": "WorkflowRun",
        "name": "a",
        "namespace": "team",
        "uid": "u1",
        "resourceVersion": "7",
    }
    assert (event["type"], event["reason"], event["action"]) == ("Warning", "TaskFailed", "RunTask")
    assert event["note"] == "é" * 512  # the API takes 1,024 bytes
    assert (event["reportingController"], event["reportingInstance"]) == ("mcp-orchestrator.io/operator", "pod-1")


async def test_the_same_news_is_told_once_in_ten_minutes() -> None:
    api, clock = Api(), Clock()
    async with a_recorder(api, clock) as subject:
        for clock.now in (0.0, 300.0, 599.0, 600.0):
            subject.emit(RUN, reason="Waiting", action="Admit", note="no slot")
        subject.emit(RUN, reason="Waiting", action="Admit", note="another note")
        subject.emit(ANOTHER_RUN, reason="Waiting", action="Admit", note="no slot")
    assert len(api.created) == 4
    assert len({event["metadata"]["name"] for event in api.created}) == 4


async def test_news_that_was_true_before_something_else_is_told_again() -> None:
    api, clock = Api(), Clock()
    async with a_recorder(api, clock) as subject:
        for reason in ("Ready", "ProcessExited", "Ready"):
            subject.emit(RUN, reason=reason, action="Check", note="the same words")
    assert [event["reason"] for event in api.created] == ["Ready", "ProcessExited", "Ready"]


async def test_news_beyond_the_queue_is_dropped_and_counted_and_never_blocks() -> None:
    api = Api()
    dropped = {"reason": "queue_full"}
    before = telemetry.OPERATOR.get_sample_value("mcp_orchestrator_events_dropped_total", dropped) or 0
    async with a_recorder(api, capacity=3) as subject:
        for number in range(5):
            subject.emit(RUN, reason="Step", action="Step", note=str(number))
    assert [event["note"] for event in api.created] == ["0", "1", "2"]
    assert telemetry.OPERATOR.get_sample_value("mcp_orchestrator_events_dropped_total", dropped) == before + 2


async def test_a_refused_event_does_not_stop_the_next_one() -> None:
    api = Api()
    async with a_recorder(api) as subject:
        api.refusal = errors.Forbidden("namespace is terminating")
        subject.emit(RUN, reason="Step", action="Step", note="1")
        await subject.flush(5)
        api.refusal = None
        subject.emit(RUN, reason="Step", action="Step", note="2")
    assert [event["note"] for event in api.created] == ["2"]


async def test_a_flush_does_not_wait_for_ever() -> None:
    subject = events.Recorder(Api(), instance="pod-1")
    subject.emit(RUN, reason="Step", action="Step", note="1")
    await subject.flush(0.01)
