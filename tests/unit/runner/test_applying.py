from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.cluster import virtual_time
from tests.unit.runner import fake_status
from tests.unit.runner.fake_status import FakeStatus

from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.control.stop import Stopped
from mcp_orchestrator.runner.reports import applying
from mcp_orchestrator.runner.reports.applying import Applier, NotReported, RunLost, Target
from mcp_orchestrator.runner.reports.reporting import Identity, Report
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

START = datetime(2026, 11, 24, 12, tzinfo=UTC)
DONE = Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "1 task succeeded", {"answer": 42})
MINE = {"podName": "pod", "podUid": "pod-1"}


class Scene:
    """A report, its applier, and the status that it writes to."""

    def __init__(self, status: FakeStatus) -> None:
        self.status = status
        self.report = Report(["a", "b"], Identity("pod", "pod-1", START), Packs(Owner("n", "r", "u1", "r-job")))
        self.lost: list[str] = []
        target = Target("n", "r", "u1", "pod-1")
        self.seen: list[Any] = []
        self.applier = Applier(status, target, "7", self.report, self.lost.append, self.seen.append)

    def note(self, name: str, phase: TaskPhase, **fields: Any) -> None:
        self.report.update(UnitRecord(name, phase, **fields))

    async def finish(self, ending: Ending = DONE) -> None:
        self.report.close(ending)
        await self.applier.finish()


def play(status: FakeStatus, acts: Callable[[Scene], Awaitable[None]]) -> Scene:
    """Play `acts` in virtual time."""

    async def main() -> Scene:
        scene = Scene(status)
        scene.applier.start()
        await acts(scene)
        return scene

    return virtual_time.run(main())


def times(scene: Scene) -> list[float]:
    return [time for time, _ in scene.status.writes]


def test_each_answer_shows_the_run_also_one_that_comes_of_a_conflict() -> None:
    status = FakeStatus(fake_status.a_run_body(runner=MINE), {1: lambda status: status.order(suspend=True)})
    scene = play(status, lambda scene: scene.finish())
    assert [body["metadata"]["resourceVersion"] for body in scene.seen] == ["8", "9"]
    assert all(body["spec"]["suspend"] for body in scene.seen)


def test_it_reports_at_once_then_once_a_second_and_only_changes() -> None:
    async def acts(scene: Scene) -> None:
        for _ in range(35):
            scene.note("a", TaskPhase.RUNNING)
            await asyncio.sleep(0.1)
            scene.note("a", TaskPhase.PENDING)
        await asyncio.sleep(100)
        scene.note("b", TaskPhase.RUNNING)
        await asyncio.sleep(0.1)
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE)), acts)
    found = times(scene)
    assert found[0] == 0
    assert found[-2] == pytest.approx(103.5)
    assert found[-1] == pytest.approx(103.6)
    assert len(found) <= 7
    assert all(round(later - earlier, 6) >= 1 for earlier, later in itertools.pairwise(found[:-1]))


def test_the_end_is_reported_at_once_and_whole() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        scene.note("a", TaskPhase.SUCCEEDED, answer=Answer.of({"n": 1}), start_time=START, completion_time=START)
        scene.note("b", TaskPhase.SUCCEEDED, answer=Answer.of(None))
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE)), acts)
    assert times(scene) == [0, 0.5]
    status = scene.status.writes[-1][1]
    assert status["runner"]["outcome"] == "Succeeded"
    assert status["outputs"] == {"answer": 42}
    assert status["progress"] == "2/2"
    assert [task.get("result", "absent") for task in status["tasks"]] == [{"n": 1}, None]
    assert scene.status.run
    assert scene.status.run["status"]["phase"] == "Queued"


def test_a_report_under_way_is_awaited_before_the_last_one() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(1)
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), takes_seconds=3), acts)
    assert times(scene) == [3, 6]
    assert scene.status.reads == 0


def test_an_api_server_that_is_away_is_asked_with_growing_pauses() -> None:
    status = FakeStatus(fake_status.a_run_body(runner=MINE), dict.fromkeys(range(1, 7), fake_status.unavailable))

    async def acts(scene: Scene) -> None:
        await asyncio.sleep(200)
        scene.note("a", TaskPhase.RUNNING)
        await scene.finish()

    scene = play(status, acts)
    # 1 + 2 + 4 + 8 + 15 + 15 s of waiting.
    assert times(scene) == [45, 200]


@pytest.mark.parametrize(
    "fault", [pytest.param(fake_status.unavailable, id="away"), pytest.param(fake_status.forbidden, id="forbidden")]
)
def test_the_end_is_tried_for_ten_minutes_and_no_longer(fault: Any) -> None:
    status = FakeStatus(fake_status.a_run_body(runner=MINE), dict.fromkeys(range(1, 1000), fault))

    async def acts(scene: Scene) -> None:
        with pytest.raises(NotReported):
            await scene.finish()
        assert 580 < asyncio.get_running_loop().time() <= applying.PATIENCE_SECONDS

    scene = play(status, acts)
    assert scene.status.tries < 60


def test_an_answer_that_got_lost_is_no_conflict_with_oneself() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(10)
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), {1: fake_status.lost_answer}), acts)
    assert scene.lost == []
    assert scene.status.writes[-1][1]["runner"]["outcome"] == "Succeeded"


def test_another_writer_is_no_obstacle() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(10)
        await scene.finish()

    faults = {1: fake_status.operator_writes, 3: fake_status.operator_writes}
    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), faults), acts)
    assert times(scene) == [0, 10]
    assert scene.status.reads == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({}, "deleted", id="deleted"),
        pytest.param({"metadata": {"uid": "u2", "resourceVersion": "9"}}, "another one has its name", id="another run"),
        pytest.param({"status": {"runner": {"podUid": "pod-2"}}}, "another pod (pod-2)", id="another pod"),
    ],
)
def test_a_run_that_is_no_longer_ours_is_left_alone(change: dict[str, Any], words: str) -> None:
    def lose(status: FakeStatus) -> None:
        if not change:
            status.run = None
        else:
            assert status.run
            status.run = {**status.run, **change}
            status.run["metadata"] = {**status.run["metadata"], "resourceVersion": "99"}

    async def acts(scene: Scene) -> None:
        await asyncio.sleep(5)
        scene.note("a", TaskPhase.RUNNING)
        await asyncio.sleep(5)
        assert len(scene.lost) == 1
        assert words in scene.lost[0]
        with pytest.raises(RunLost, match=words.replace("(", r"\(").replace(")", r"\)")):
            await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), {2: lose}), acts)
    assert len(scene.status.writes) == 1


def test_a_report_that_is_not_taken_is_sent_without_what_tools_said() -> None:
    async def acts(scene: Scene) -> None:
        scene.note("a", TaskPhase.SUCCEEDED, answer=Answer.said("x"))
        await asyncio.sleep(0.5)
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), {2: fake_status.invalid}), acts)
    status = scene.status.writes[-1][1]
    assert status["runner"]["outcome"] == "Failed"
    assert status["runner"]["reason"] == "RunnerFailed"
    assert status["runner"]["message"] == "the run ended as Succeeded, but its results can't be recorded: too large"
    assert "outputs" not in status
    assert all("result" not in task for task in status["tasks"])


def test_a_report_that_is_never_taken_is_given_up() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        with pytest.raises(NotReported, match="too large"):
            await scene.finish()

    faults = {2: fake_status.invalid, 3: fake_status.invalid}
    play(FakeStatus(fake_status.a_run_body(runner=MINE), faults), acts)


def test_whoever_commits_waits_for_the_next_write_and_no_longer() -> None:
    waited: list[float] = []

    async def acts(scene: Scene) -> None:
        clock = asyncio.get_running_loop().time
        await asyncio.sleep(0.3)

        async def one(name: str) -> None:
            scene.note(name, TaskPhase.RUNNING)
            began = clock()
            await scene.applier.commit()
            waited.append(clock() - began)
            told = {task["name"]: task["phase"] for task in scene.status.writes[-1][1]["tasks"]}
            assert told[name] == "Running"

        await asyncio.gather(one("a"), one("b"))
        await scene.finish()

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE), takes_seconds=0.01), acts)
    assert all(seconds <= 0.05 for seconds in waited)
    assert len(times(scene)) == 3


def test_a_commit_survives_an_api_server_that_is_away() -> None:
    async def acts(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        scene.note("a", TaskPhase.RUNNING)
        await scene.applier.commit()
        assert scene.status.writes[-1][1]["tasks"][0]["phase"] == "Running"
        await scene.finish()

    faults = {2: fake_status.unavailable, 3: fake_status.lost_answer}
    play(FakeStatus(fake_status.a_run_body(runner=MINE), faults), acts)


def test_nobody_goes_on_from_a_commit_of_a_run_that_is_lost() -> None:
    def lose(status: FakeStatus) -> None:
        status.run = None

    async def acts(scene: Scene) -> None:
        await asyncio.sleep(0.5)
        scene.note("a", TaskPhase.RUNNING)
        with pytest.raises(Stopped, match="deleted"):
            await scene.applier.commit()
        scene.note("b", TaskPhase.RUNNING)
        with pytest.raises(Stopped, match="deleted"):
            await scene.applier.commit()

    play(FakeStatus(fake_status.a_run_body(runner=MINE), {2: lose}), acts)


def test_packs_stand_before_the_status_that_names_them() -> None:
    async def acts(scene: Scene) -> None:
        scene.note("a", TaskPhase.SUCCEEDED, answer=Answer.said("x" * 100_000))
        await asyncio.sleep(5)
        assert [body["metadata"]["name"] for body in scene.status.created] == ["r-job-results-0"]
        await scene.finish()
        assert len(scene.status.created) == 1

    scene = play(FakeStatus(fake_status.a_run_body(runner=MINE)), acts)
    assert scene.status.writes[-1][1]["tasks"][0]["resultRef"].startswith("r-job-results-0/")
