"""Whether a run whose pod was lost gets another one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_run, a_server, a_template, around

from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.runs import attempts
from mcp_orchestrator.planning.runs.decision import plan_run
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.settings import Settings

SETTINGS = Settings(timeout_seconds=600, retry_attempts=3)
LATER = NOW + timedelta(seconds=60)
RUNNER = {"podName": "p", "podUid": "u", "attempt": 1, "startTime": "2026-01-02T03:04:07Z"}
TASKS = [{"name": "now", "phase": "Running", "resultRef": "old-results-0/abc"}]


def admitted(**status: Any) -> WorkflowRun:
    """A run whose runner was at work; `status` is what came to its status since, as JSON."""
    observed = ObservedRun(a_run(), around(a_template(), {"time": a_server(observed_generation=1)}), slot=True)
    wire = {**(plan_run(observed, SETTINGS, NOW).status or {}), "runner": RUNNER, "tasks": TASKS, **status}
    return observed.run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})


def a_job(reason: str = "BackoffLimitExceeded", type_: str = "Failed") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": type_, "status": "True", "reason": reason}]}}


def a_pod(pod_reason: str = "", **terminated: Any) -> dict[str, Any]:
    state = {"state": {"terminated": terminated}} if terminated else {}
    containers = [{"name": "runner", "image": "i", **state}]
    return {"metadata": {"name": "p"}, "status": {"reason": pod_reason, "containerStatuses": containers}}


def plan(run: WorkflowRun, job: dict[str, Any], *pods: dict[str, Any]) -> Plan:
    return plan_run(ObservedRun(run, job=job, pods=pods), SETTINGS, LATER)


@pytest.mark.parametrize(
    "pods",
    [
        pytest.param((), id="gone"),
        pytest.param((a_pod("Evicted"),), id="evicted"),
        pytest.param((a_pod(exitCode=1, reason="Error"),), id="crashed"),
        pytest.param((a_pod(exitCode=137, reason="Error"),), id="killed"),
    ],
)
def test_a_lost_pod_is_followed_by_another_that_goes_on(pods: tuple[dict[str, Any], ...]) -> None:
    run = admitted()
    made = plan(run, a_job(), *pods)
    assert made.status
    assert made.status["attempt"] == 2
    assert made.status["jobName"] != run.status.job_name
    assert made.status["phase"] == "Running"
    assert "tasks" not in made.status
    (job,) = made.children
    assert job["metadata"]["name"] == made.status["jobName"]
    assert [event.reason for event in made.events] == ["Interrupted"]
    assert "attempt 2 of 3 goes on from what is recorded" in made.events[0].note
    assert job["spec"]["activeDeadlineSeconds"] == 600 - 58 + 300


def test_the_new_pod_can_read_the_results_of_the_old_one() -> None:
    (job,) = plan(admitted(), a_job()).children
    volumes = {volume["name"]: volume for volume in job["spec"]["template"]["spec"]["volumes"]}
    assert volumes["results"]["projected"]["sources"] == [{"configMap": {"name": "old-results-0", "optional": True}}]


@pytest.mark.parametrize(
    ("run", "job", "pods"),
    [
        pytest.param(admitted(), a_job("DeadlineExceeded"), (), id="out of time"),
        pytest.param(admitted(), a_job("", "Complete"), (), id="the Job completed"),
        pytest.param(admitted(), a_job(), (a_pod(exitCode=137, reason="OOMKilled"),), id="out of memory"),
        pytest.param(admitted(attempt=3, runner={**RUNNER, "attempt": 3}), a_job(), (), id="the last attempt"),
    ],
)
def test_where_another_pod_would_do_no_better_the_run_ends(
    run: WorkflowRun, job: dict[str, Any], pods: tuple[dict[str, Any], ...]
) -> None:
    made = plan(run, job, *pods)
    assert made.status
    assert made.status["phase"] == "Failed"


def test_the_old_runner_is_not_taken_for_the_new_one() -> None:
    run = admitted(attempt=2)
    assert attempts.current_runner(run) is None
    made = plan_run(ObservedRun(run, job=None), SETTINGS, LATER)
    assert len(made.children) == 1
    assert made.status is None
