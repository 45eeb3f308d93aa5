"""How runs end, and what is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_run, a_server, a_task, a_template, around
from tests.oracles import kstatus

from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.plan import EventType, Plan
from mcp_orchestrator.planning.runs import endings, runstatus
from mcp_orchestrator.planning.runs.decision import plan_run
from mcp_orchestrator.planning.runs.observed import ObservedRun
from mcp_orchestrator.settings import Settings

SETTINGS = Settings(timeout_seconds=600, retry_attempts=1)
LATER = NOW + timedelta(seconds=12, milliseconds=340)
TASK = {"name": "a", "phase": "Succeeded", "startTime": "2026-01-02T03:04:06Z"}
FAILED = {
    "name": "b",
    "phase": "Failed",
    "completionTime": "2026-01-02T03:04:09Z",
    "error": {"class": "Auth", "message": "HTTP 401"},
}
NO_NODE = {
    "metadata": {"name": "p"},
    "status": {
        "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes are available"}
        ]
    },
}


def admitted(count: int = 2, /, **status: Any) -> WorkflowRun:
    """A run that has its slot; `status` is what came to its status since, as JSON."""
    template = a_template(*(a_task(name) for name in "abc"[:count]))
    observed = ObservedRun(a_run(), around(template, {"time": a_server(observed_generation=1)}), slot=True)
    wire = {**(plan_run(observed, SETTINGS, NOW).status or {}), **status}
    return observed.run.model_copy(update={"status": WorkflowRunStatus.model_validate(wire)})


def with_runner(*tasks: Mapping[str, Any], count: int = 2, **runner: Any) -> WorkflowRun:
    known = {"podName": "p", "podUid": "u", "startTime": "2026-01-02T03:04:07Z"}
    return admitted(count, runner=known | runner, tasks=[*tasks], progress="1/2")


def a_job(type_: str = "Failed", reason: str = "BackoffLimitExceeded", message: str = "") -> dict[str, Any]:
    return {"status": {"conditions": [{"type": type_, "status": "True", "reason": reason, "message": message}]}}


def a_pod(**container: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "status": {"containerStatuses": [{"name": "runner", "image": "ours:1", **container}]},
    }


def plan(run: WorkflowRun, **observed: Any) -> Plan:
    return plan_run(ObservedRun(run, **observed), SETTINGS, LATER)


def status_of(made: Plan) -> Mapping[str, Any]:
    assert made.status is not None
    return made.status


def reason_of(made: Plan) -> str:
    reasons = {c["reason"] for c in status_of(made)["conditions"] if c["type"] != "Admitted"}
    (reason,) = reasons
    assert isinstance(reason, str)
    return reason


# --- the runner's report ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "message"),
    [pytest.param(1, "1 task succeeded", id="one"), pytest.param(2, "2 tasks succeeded", id="two")],
)
@pytest.mark.parametrize("job", [None, {"status": {"active": 1}}, a_job("Complete", ""), a_job()])
def test_a_run_succeeds_when_its_runner_says_so_whatever_became_of_its_job(
    count: int, message: str, job: dict[str, Any] | None
) -> None:
    made = plan(with_runner(TASK, count=count, outcome="Succeeded", reason="Succeeded", message=message), job=job)
    status = status_of(made)

    assert (status["phase"], status["message"], reason_of(made)) == ("Succeeded", message, "Succeeded")
    assert status["startTime"] == "2026-01-02T03:04:07.000Z"
    assert status["completionTime"] == "2026-01-02T03:04:17.340Z"
    assert (status["durationMilliseconds"], status["duration"]) == (10340, "10.3s")
    assert "diagnosis" not in status
    assert kstatus.verdict({"metadata": {"generation": 1}, "status": status}) == kstatus.Verdict.CURRENT
    assert [(e.type, e.reason, e.note) for e in made.events] == [(EventType.NORMAL, "Succeeded", message)]


def test_a_failed_task_fails_the_run_with_its_diagnosis() -> None:
    run = with_runner(TASK, FAILED, outcome="Failed", reason="TaskFailed", message='task "b" failed: HTTP 401')

    made = plan(run)
    status = status_of(made)

    assert (status["phase"], reason_of(made)) == ("Failed", "TaskFailed")
    assert status["message"] == 'task "b" failed: HTTP 401'
    assert status["diagnosis"]["class"] == "Auth"
    assert status["diagnosis"]["task"] == "b"
    assert status["diagnosis"]["summary"] == 'task "b" failed (Auth): HTTP 401'
    assert "Renew the key in the Secret that MCPServer time names" in status["diagnosis"]["recommendations"][0]
    assert [(e.type, e.reason, e.note) for e in made.events] == [
        (EventType.WARNING, "TaskFailed", "b: Auth: HTTP 401"),
        (EventType.WARNING, "Failed", 'TaskFailed: task "b" failed: HTTP 401'),
    ]


def test_a_time_out_that_the_runner_reports_names_the_task_under_way() -> None:
    late = {"name": "b", "phase": "Running", "startTime": "2026-01-02T03:04:08Z"}

    made = plan(with_runner(TASK, late, outcome="Failed", reason="TimedOut", message="no more than 600 s"))

    assert reason_of(made) == "TimedOut"
    assert status_of(made)["diagnosis"]["class"] == "TimedOut"
    assert status_of(made)["diagnosis"]["task"] == "b"
    assert status_of(made)["diagnosis"]["summary"] == "no more than 600 s"


def test_outputs_that_can_not_be_worked_out_fail_the_run() -> None:
    made = plan(with_runner(TASK, outcome="Failed", reason="OutputFailed", message="outputs[0]: no such key"))

    assert reason_of(made) == "OutputFailed"
    assert status_of(made)["diagnosis"]["class"] == "Expression"
    assert status_of(made)["diagnosis"]["summary"] == "outputs[0]: no such key"


@pytest.mark.parametrize("runner", [{"reason": "NewerWord"}, {}])
def test_a_runner_that_ends_for_a_reason_of_its_own_has_failed(runner: dict[str, Any]) -> None:
    made = plan(with_runner(TASK, outcome="Failed", **runner))

    assert reason_of(made) == "RunnerFailed"
    assert status_of(made)["message"] == "the runner gave no reason"
    assert status_of(made)["diagnosis"]["summary"] == "the runner gave no reason"


def test_what_the_runner_owns_is_left_to_it() -> None:
    status = status_of(plan(with_runner(TASK, outcome="Succeeded")))

    assert not {"runner", "tasks", "outputs", "progress"} & set(status)


# --- a job without a report -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pod", "summary", "class_", "advice"),
    [
        pytest.param(
            a_pod(state={"terminated": {"exitCode": 137, "reason": "OOMKilled"}}),
            "container runner of pod p ran out of memory (OOMKilled)",
            "OutOfMemory",
            "spec.pod.resources.limits.memory",
            id="out of memory",
        ),
        pytest.param(
            a_pod(state={"waiting": {"reason": "ErrImagePull", "message": "not found"}}),
            "image ours:1 of pod p can't be pulled: not found",
            "ImagePull",
            "image.* in the chart's values",
            id="no image",
        ),
        pytest.param(
            {"metadata": {"name": "p"}, "status": {"reason": "Evicted", "message": "low on memory"}},
            "pod p was evicted: low on memory",
            "Evicted",
            "spec.pod.resources.requests",
            id="evicted",
        ),
        pytest.param(
            a_pod(state={"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback"}}),
            "container runner of pod p ended: Error, exit code 1: Traceback",
            "Runner",
            "logs job/",
            id="a crash",
        ),
        pytest.param(
            a_pod(state={"terminated": {"exitCode": 1, "reason": "Error", "message": "x" * 9000}}),
            "container runner of pod p ended: Error, exit code 1: xxx",
            "Runner",
            "logs job/",
            id="a crash of many words",
        ),
    ],
)
def test_a_job_that_failed_without_a_report_is_explained_by_its_pod(
    pod: dict[str, Any], summary: str, class_: str, advice: str
) -> None:
    made = plan(admitted(), job=a_job(message="Job has reached the specified backoff limit"), pods=(pod,))
    status = status_of(made)

    assert (status["phase"], reason_of(made)) == ("Failed", "RunnerFailed")
    assert status["message"].startswith(
        "the run's pod ended without a report (Job has reached the specified backoff limit): " + summary
    )
    assert status["diagnosis"]["class"] == class_
    assert status["diagnosis"]["summary"] == status["message"]
    assert advice in status["diagnosis"]["recommendations"][0]
    assert status["progress"] == "0/2"
    assert kstatus.verdict({"metadata": {"generation": 1}, "status": status}) == kstatus.Verdict.FAILED


def test_a_job_that_completed_without_a_report_is_no_success() -> None:
    made = plan(with_runner(TASK), job=a_job("Complete", ""))

    assert reason_of(made) == "RunnerFailed"
    assert status_of(made)["message"] == "the run's pod ended without a report (its Job completed)"


@pytest.mark.parametrize(
    ("run", "pods", "message", "advice"),
    [
        pytest.param(
            with_runner(TASK, {"name": "b", "phase": "Running", "startTime": "2026-01-02T03:04:08Z"}),
            (),
            "the run took longer than its time-out of 600 s",
            "Raise timeoutSeconds",
            id="while the runner was at work",
        ),
        pytest.param(
            admitted(),
            (),
            "the run's pod did not begin its work within the time-out of 600 s",
            "raise timeoutSeconds",
            id="before the runner was at work",
        ),
        pytest.param(
            admitted(message="image i of pod p can't be pulled: gone"),
            (),
            "the run's pod did not begin its work within the time-out of 600 s: image i of pod p can't be pulled: gone",
            "raise timeoutSeconds",
            id="with a trouble that was told before the pod went",
        ),
        pytest.param(
            admitted(message="pod p finds no node: earlier"),
            (NO_NODE,),
            "the run's pod did not begin its work within the time-out of 600 s: "
            "pod p finds no node: 0/1 nodes are available",
            "nodeSelector",
            id="with a pod that is still there",
        ),
    ],
)
def test_a_job_past_its_deadline_is_a_time_out(
    run: WorkflowRun, pods: tuple[dict[str, Any], ...], message: str, advice: str
) -> None:
    made = plan(run, job=a_job(reason="DeadlineExceeded", message="Job was active longer"), pods=pods)

    assert (status_of(made)["phase"], reason_of(made)) == ("Failed", "TimedOut")
    assert status_of(made)["message"] == message
    assert advice in status_of(made)["diagnosis"]["recommendations"][0]


def test_a_job_that_is_gone_while_its_runner_was_at_work_was_deleted() -> None:
    run = with_runner(TASK)

    made = plan(run)

    assert reason_of(made) == "JobDeleted"
    assert status_of(made)["message"] == f"Job {run.status.job_name} was deleted while its runner was at work"
    assert status_of(made)["diagnosis"]["recommendations"] == [
        "See which tasks had ended (status.tasks), then create a new run."
    ]


def test_a_job_of_somebody_else_that_has_the_name_is_a_conflict() -> None:
    run = admitted()

    made = plan(run, foreign_job=True)

    assert reason_of(made) == "NameConflict"
    assert status_of(made)["message"] == f"a Job named {run.status.job_name} exists and is not this run's"
    assert status_of(made)["diagnosis"]["recommendations"] == ["Delete that Job, then create the run again."]


def test_a_job_that_the_api_server_refuses_ends_the_run_and_frees_its_slot() -> None:
    made = plan(admitted(), mistake="spec.template.spec.containers[0].resources.requests: Invalid value")

    assert (status_of(made)["phase"], reason_of(made)) == ("Failed", "InvalidSpec")
    assert status_of(made)["message"] == (
        "the API server refused the run's Job: spec.template.spec.containers[0].resources.requests: Invalid value"
    )
    assert status_of(made)["diagnosis"]["recommendations"] == ["Mend spec.pod of the workflow, then create a new run."]


# --- times -----------------------------------------------------------------------------------------------------------


def test_a_run_without_a_runner_is_timed_from_its_admission() -> None:
    status = status_of(plan(admitted(), foreign_job=True))

    assert (status["startTime"], status["durationMilliseconds"]) == ("2026-01-02T03:04:05.000Z", 12340)


def test_clocks_that_disagree_never_make_a_duration_negative() -> None:
    run = with_runner(TASK, outcome="Succeeded", startTime="2026-01-02T03:05:00Z")

    assert (status_of(plan(run))["durationMilliseconds"], status_of(plan(run))["duration"]) == (0, "0ms")


@pytest.mark.parametrize(
    ("elapsed", "words"),
    [
        (timedelta(0), "0ms"),
        (timedelta(microseconds=999_999), "999ms"),
        (timedelta(seconds=1), "1.0s"),
        (timedelta(seconds=59.94), "59.9s"),
        (timedelta(seconds=59.96), "1m00s"),
        (timedelta(seconds=192), "3m12s"),
        (timedelta(seconds=3599.9), "59m59s"),
        (timedelta(seconds=3600), "1h00m"),
        (timedelta(hours=26, minutes=5), "26h05m"),
    ],
)
def test_durations_are_written_as_people_do(elapsed: timedelta, words: str) -> None:
    assert runstatus.human(elapsed) == words


@pytest.mark.parametrize(
    ("job", "end"),
    [
        pytest.param({}, False, id="nothing known"),
        pytest.param({"status": {"active": 1}}, False, id="active"),
        pytest.param({"status": {"conditions": [{"type": "Failed", "status": "False"}]}}, False, id="not failed"),
        pytest.param(
            {"status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}}, False, id="about to fail"
        ),
        pytest.param(a_job(), True, id="failed"),
        pytest.param(a_job("Complete"), True, id="complete"),
    ],
)
def test_a_job_has_ended_when_it_says_so(job: dict[str, Any], end: bool) -> None:
    assert endings.has_ended(job) == end
