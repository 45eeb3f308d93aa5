"""Which results of another run are taken over."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_parameter, a_run, a_spec, a_task

from mcp_orchestrator.api.resolved import ResolvedTemplate
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.calls import reuse
from mcp_orchestrator.runner.results import recorded
from mcp_orchestrator.runner.results.records import UnitRecord

WORKFLOW = a_spec(
    a_task("plan", arguments={"t": "${{ params.topic }}"}),
    a_task("ask", arguments={"q": "${{ tasks.plan.result }}"}),
    a_task("other", arguments={}),
    parameters=[a_parameter("topic"), a_parameter("unused", default=1)],
)


def a_past_run(workflow: Workflow = WORKFLOW, phases: dict[str, str] | None = None, **spec: Any) -> WorkflowRun:
    """A run that was admitted, with its tasks in these phases; all succeeded if nothing is said."""
    known = {task.name: "Succeeded" for task in workflow.tasks} | (phases or {})
    tasks = tuple(TaskStatus(name=name, phase=TaskPhase(phase)) for name, phase in known.items())
    template = ResolvedTemplate(digest="sha256:0", spec=workflow)
    return a_run(status=WorkflowRunStatus(template=template, tasks=tasks), **{"parameters": {"topic": "x"}, **spec})


@pytest.mark.parametrize(
    ("new", "old", "expected"),
    [
        pytest.param({}, {}, {"plan": "", "ask": "", "other": ""}, id="all the same"),
        pytest.param(
            {"parameters": {"topic": "y"}},
            {},
            {"plan": 'parameter "topic" has another value', "ask": 'task "plan" runs again', "other": ""},
            id="another value",
        ),
        pytest.param(
            {"parameters": {"topic": "x", "unused": 2}}, {}, {"plan": "", "ask": "", "other": ""}, id="unread"
        ),
        pytest.param(
            {},
            {"phases": {"plan": "Failed"}},
            {"plan": "it did not succeed there: Failed", "ask": 'task "plan" runs again', "other": ""},
            id="a failure",
        ),
        pytest.param(
            {"workflow": a_spec(a_task("ask", arguments={"q": 1}), a_task("new"), parameters=WORKFLOW.parameters)},
            {},
            {"ask": "its definition changed", "new": "there was no such task"},
            id="another workflow",
        ),
    ],
)
def test_a_result_is_taken_over_if_it_would_come_out_the_same(
    new: dict[str, Any], old: dict[str, Any], expected: dict[str, str]
) -> None:
    assert reuse.why_not(a_past_run(**new), a_past_run(**old)) == expected


@pytest.mark.parametrize(("key", "same"), [("api", True), ("other", False)])
def test_a_secret_is_the_same_if_it_stands_in_the_same_place(key: str, same: bool) -> None:
    def source(key: str) -> dict[str, Any]:
        given = [{"name": "topic", "secret_key_ref": {"name": "keys", "key": key}}]
        return {"parameters": {}, "parameters_from": given}

    found = reuse.why_not(a_past_run(**source(key)), a_past_run(**source("api")))
    assert (found["plan"] == "") == same


def test_the_record_says_what_was_taken_over_and_why_the_rest_runs_again() -> None:
    theirs = {
        "a": UnitRecord("a", TaskPhase.SUCCEEDED),
        "b": UnitRecord("b", TaskPhase.FAILED),
        "b[0]": UnitRecord("b[0]", TaskPhase.SUCCEEDED),
        "b[1]": UnitRecord("b[1]", TaskPhase.FAILED),
        "c": UnitRecord("c", TaskPhase.SUCCEEDED),
    }
    found = recorded.of_reuse(theirs, {"a": "", "b": "", "c": "its definition changed"}, "first")
    assert {name: (record.phase, record.reused_from) for name, record in found.items()} == {
        "a": ("Succeeded", "first"),
        "b[0]": ("Succeeded", "first"),
        "c": ("Pending", None),
    }
    assert found["c"].message == "its definition changed"
