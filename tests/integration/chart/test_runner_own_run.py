"""A runner writes the status of its own run, there what is its own, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.chart.place import JOB, POD, UID, Place, grant, in_pod, rule, runner, until, write

from mcp_orchestrator.api.base import GROUP, OPERATOR_MANAGER
from mcp_orchestrator.api.workflowrunstatus import Outcome

CANCELLATION = {"mode": "Graceful", "reason": "Replaced", "message": "no reason"}
OWN_FIELDS = "runner, tasks, progress, outputs and outputsSecret only"


@pytest.mark.parametrize(
    "status",
    [
        {"progress": "0/1"},
        {"progress": "1/1"},
        {"outputsSecret": f"{JOB}-outputs"},
        *({"runner": {"podName": POD, "podUid": UID, "outcome": outcome, "reason": outcome}} for outcome in Outcome),
    ],
    ids=str,
)
def test_a_runner_writes_its_own_run_again_and_again(run: Place, status: dict[str, Any]) -> None:
    assert "serverside-applied" in write(run, status)


@pytest.mark.parametrize(
    ("status", "name", "pod", "words"),
    [
        pytest.param({}, "two", in_pod(), "its own run only", id="another-run"),
        pytest.param({}, "queued", in_pod(), "its own run only", id="a-run-without-a-job"),
        pytest.param({"phase": "Succeeded"}, "one", in_pod(), OWN_FIELDS, id="the-phase"),
        pytest.param({"duration": "1s"}, "one", in_pod(), OWN_FIELDS, id="a-new-field"),
        pytest.param({"pausedSeconds": 3600}, "one", in_pod(), OWN_FIELDS, id="time-of-its-own"),
        pytest.param({"cancellation": CANCELLATION}, "one", in_pod(), OWN_FIELDS, id="an-order"),
        pytest.param({"jobName": "two-0123456789"}, "one", in_pod(), OWN_FIELDS, id="the-jobs-name"),
        pytest.param({}, "one", in_pod(uid="other"), "another pod's name", id="in-another-pods-name"),
        pytest.param(
            {}, "one", in_pod(name=f"{JOB}-0123456789-abcde"), "own run only", id="from-a-job-with-a-longer-name"
        ),
        pytest.param({}, "one", (), "own run only", id="with-a-token-of-no-pod"),
    ],
)
def test_a_runner_writes_nothing_else(
    run: Place, status: dict[str, Any], name: str, pod: tuple[str, ...], words: str
) -> None:
    assert words in write(run, status, name, pod)


def test_a_runner_removes_nothing_of_the_operators(run: Place) -> None:
    """Server-side apply removes what is one's own only; another kind of patch, which runners don't use, could."""
    who, change = runner(run.namespace), '{"status": {"jobName": null}}'
    grant(run, who, "look", rule("workflowruns/status", "get", group=GROUP))
    patch = ("patch", "workflowrun", "one", "--subresource=status", "--type=merge", "-p", change)
    until(lambda: OWN_FIELDS in run.kubectl(*patch, f"--as={who}", *in_pod()))


def test_a_runner_of_another_namespace_writes_nothing_here(run: Place) -> None:
    other = runner("beyond")
    grant(run, other, "beyond", rule("workflowruns/status", "patch", group=GROUP))
    body = {"runner": {"podName": POD, "podUid": UID}}

    def said() -> str:
        return run.write_status("one", body, f"--as={other}", *in_pod(), manager=OPERATOR_MANAGER)

    until(lambda: "in its own namespace only" in said())


def test_the_operator_goes_on_after_a_runner(run: Place) -> None:
    assert "serverside-applied" in write(run, {})
    status = {"observedGeneration": 1, "phase": "Succeeded", "jobName": JOB}
    assert "serverside-applied" in run.write_status(
        "one", status, run.operator, "--dry-run=server", manager=OPERATOR_MANAGER
    )
