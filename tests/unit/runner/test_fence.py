from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.cluster import virtual_time
from tests.unit.runner import fake_status
from tests.unit.runner.fake_status import FakeStatus

from mcp_orchestrator.runner import fence
from mcp_orchestrator.runner.fence import NoRun, NotOurs, Pod

NOW = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
POD = Pod("r", "n", "r-job-abcde", "pod-1")


def take(status: FakeStatus, pod: Pod = POD) -> tuple[Any, float]:
    """The run, and how long it took to get it."""

    async def main() -> tuple[Any, float]:
        taken = await fence.take(status, pod, NOW)
        return taken, asyncio.get_running_loop().time()

    return virtual_time.run(main())


def test_a_run_without_an_executor_is_taken() -> None:
    status = FakeStatus(fake_status.a_run_body())
    run, _ = take(status)
    assert status.writes[0][1] == {
        "runner": {
            "podName": "r-job-abcde",
            "podUid": "pod-1",
            "attempt": 1,
            "startTime": "2026-11-24T12:00:00.123Z",
        }
    }
    assert run.metadata.resource_version == "8"
    assert run.status.runner.pod_uid == "pod-1"


def test_of_many_pods_one_takes_the_run() -> None:
    status = FakeStatus(fake_status.a_run_body(), takes_seconds=0.01)

    async def one(number: int) -> bool:
        try:
            await fence.take(status, Pod("r", "n", f"r-job-{number}", f"pod-{number}"), NOW)
        except NotOurs:
            return False
        return True

    async def main() -> list[bool]:
        return await asyncio.gather(*(one(number) for number in range(20)))

    assert virtual_time.run(main()).count(True) == 1
    assert len(status.writes) == 1


def test_a_take_whose_answer_got_lost_was_ours() -> None:
    status = FakeStatus(fake_status.a_run_body(), {1: fake_status.lost_answer})
    run, _ = take(status)
    assert run.status.runner.pod_uid == "pod-1"
    assert len(status.writes) == 1


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            fake_status.a_run_body(runner={"podName": "other", "podUid": "pod-2"}), "pod other", id="another pod"
        ),
        pytest.param(
            fake_status.a_run_body(runner={"podName": "a", "podUid": "pod-1", "outcome": "Failed"}),
            "already",
            id="ended by this pod",
        ),
        pytest.param(fake_status.a_run_body(phase="Failed"), "has ended", id="ended"),
        pytest.param(fake_status.a_run_body(jobName="other-job"), "other-job", id="another Job"),
        pytest.param(
            fake_status.a_run_body(phase="Queued", admittedAt=None), "no slot", id="held and let go meanwhile"
        ),
        pytest.param(None, "not there any more", id="deleted"),
    ],
)
def test_a_run_that_is_not_ours_is_left_alone(body: dict[str, Any] | None, words: str) -> None:
    status = FakeStatus(body)
    with pytest.raises(NotOurs, match=words):
        take(status)
    assert status.writes == []


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(fake_status.a_run_body(template=None), "status.template", id="not admitted"),
        pytest.param(fake_status.a_run_body(tasks=7), "can't be read: status.tasks", id="unreadable"),
    ],
)
def test_a_run_that_can_not_be_executed_is_said_to_be(body: dict[str, Any], words: str) -> None:
    with pytest.raises(NoRun, match=words):
        take(FakeStatus(body))


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(fake_status.unavailable, id="API server away"),
        pytest.param(fake_status.forbidden, id="rights not bound yet"),
        pytest.param(fake_status.operator_writes, id="the operator writes meanwhile"),
    ],
)
def test_a_passing_trouble_only_delays(fault: Any) -> None:
    run, seconds = take(FakeStatus(fake_status.a_run_body(), dict.fromkeys(range(1, 6), fault)))
    assert run.status.runner.pod_uid == "pod-1"
    assert seconds == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6)


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        pytest.param(fake_status.unavailable, fence.PATIENCE_SECONDS, id="API server away"),
        pytest.param(fake_status.forbidden, fence.RIGHTS_PATIENCE_SECONDS, id="no rights"),
    ],
)
def test_a_lasting_trouble_is_given_up(fault: Any, seconds: float) -> None:
    status = FakeStatus(fake_status.a_run_body(), dict.fromkeys(range(1, 1000), fault))

    async def main() -> float:
        with pytest.raises(NoRun):
            await fence.take(status, POD, NOW)
        return asyncio.get_running_loop().time()

    assert seconds < virtual_time.run(main()) < seconds + 10


def test_a_later_attempt_takes_over_with_all_that_was_told_and_the_first_start() -> None:
    first = {"podName": "r-old-abcde", "podUid": "pod-0", "attempt": 1, "startTime": "2026-11-24T11:59:00Z"}
    told = {"tasks": [{"name": "now", "phase": "Running"}], "progress": "0/1"}
    status = FakeStatus(fake_status.a_run_body(runner=first, attempt=2, **told))
    run, _ = take(status)
    assert status.writes[0][1] == {
        **told,
        "runner": {"podName": "r-job-abcde", "podUid": "pod-1", "attempt": 2, "startTime": "2026-11-24T11:59:00.000Z"},
    }
    assert run.status.tasks[0].phase == "Running"


def test_a_run_that_was_suspended_is_taken_over_by_its_next_attempt_and_by_no_other_pod() -> None:
    held = {"podName": "r-old-abcde", "podUid": "pod-0", "attempt": 1, "outcome": "Suspended", "reason": "Suspended"}
    run, _ = take(FakeStatus(fake_status.a_run_body(runner=held, attempt=2)))
    assert (run.status.runner.pod_uid, run.status.runner.outcome) == ("pod-1", None)
    with pytest.raises(NotOurs, match="has already executed the run"):
        take(FakeStatus(fake_status.a_run_body(runner=held, attempt=1)))


def test_a_process_that_finds_its_own_pod_on_record_goes_on_from_there() -> None:
    mine = {"podName": "r-job-abcde", "podUid": "pod-1", "attempt": 1, "startTime": "2026-11-24T11:59:00Z"}
    status = FakeStatus(fake_status.a_run_body(runner=mine, tasks=[{"name": "now", "phase": "Running"}]))
    run, _ = take(status)
    assert status.writes == []
    assert run.status.tasks[0].phase == "Running"
