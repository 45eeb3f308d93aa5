"""Why a run failed, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.builders import NOW, a_spec, a_task

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import NestedTemplate, ResolvedTemplate, TaskError, TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowtemplate import Task
from mcp_orchestrator.planning import diagnosis
from mcp_orchestrator.planning.pods import PodTrouble

INNER = a_spec(a_task("look", server="search"))
WORKFLOW = ResolvedTemplate(
    digest="sha256:0",
    spec=a_spec(a_task("now"), a_task("write", server="filesystem"), Task(name="sub", template={"name": "inner"})),
    nested=(NestedTemplate(name="inner", digest="sha256:1", spec=INNER),),
)


def a_status(name: str = "now", phase: TaskPhase = TaskPhase.SUCCEEDED, **fields: Any) -> TaskStatus:
    return TaskStatus(name=name, phase=phase, **fields)


def a_failure(name: str, class_: ErrorClass = ErrorClass.TOOL, seconds: int = 0, message: str = "no") -> TaskStatus:
    return a_status(
        name,
        TaskPhase.FAILED,
        completion_time=NOW + timedelta(seconds=seconds),
        error=TaskError(class_=class_, message=message),
    )


@pytest.mark.parametrize("class_", [pytest.param(class_, id=class_) for class_ in ErrorClass])
def test_every_class_of_error_is_told_with_its_task_and_its_cause(class_: ErrorClass) -> None:
    found = diagnosis.of_task([a_failure("write", class_, message="disk {full}")], WORKFLOW)

    assert found
    assert (found.class_, found.task) == (class_, "write")
    assert found.summary == f'task "write" failed ({class_}): disk {{full}}'
    assert not any("{" in text or "}" in text for text in found.recommendations)


@pytest.mark.parametrize(
    ("class_", "advice"),
    [
        pytest.param(ErrorClass.CONNECT, "kubectl describe mcpservers.mcp-orchestrator.io filesystem", id="connect"),
        pytest.param(ErrorClass.BUSY, "spec.maxParallelTasks", id="busy"),
        pytest.param(ErrorClass.AUTH, "Renew the key in the Secret that MCPServer filesystem names", id="auth"),
        pytest.param(ErrorClass.TIMEOUT, "spec.timeoutSeconds of MCPServer filesystem", id="timeout"),
        pytest.param(ErrorClass.TRANSPORT, "may have done its work", id="transport"),
        pytest.param(ErrorClass.PROTOCOL, "kubectl get msrv filesystem -o yaml", id="protocol"),
        pytest.param(ErrorClass.SCHEMA, "makers of the server", id="schema"),
        pytest.param(ErrorClass.TOOL, "arguments of task write", id="tool"),
        pytest.param(ErrorClass.INPUT_REQUIRED, "asks a person", id="input"),
        pytest.param(ErrorClass.RESULT_TOO_LARGE, "narrow the arguments of task write", id="too large"),
        pytest.param(ErrorClass.EXPRESSION, "Mend the expression", id="expression"),
        pytest.param(ErrorClass.RUNNER, "log", id="runner"),
    ],
)
def test_every_class_of_error_has_a_remedy_that_names_the_thing(class_: ErrorClass, advice: str) -> None:
    found = diagnosis.of_task([a_failure("write", class_)], WORKFLOW)

    assert found
    assert advice in "\n".join(found.recommendations)


def test_the_first_failure_in_time_is_the_one_that_matters() -> None:
    found = diagnosis.of_task([a_failure("now", seconds=5), a_failure("write", seconds=2), a_status("x")], WORKFLOW)

    assert found
    assert found.task == "write"


def test_tasks_that_did_not_fail_have_no_diagnosis() -> None:
    tasks = [a_status("now"), a_status("write", TaskPhase.SKIPPED, error=TaskError(class_="Tool", message="no"))]

    assert diagnosis.of_task(tasks, WORKFLOW) is None


@pytest.mark.parametrize(
    ("tasks", "named"),
    [
        pytest.param([], None, id="nothing began"),
        pytest.param([a_status("now", start_time=NOW), a_status("write", TaskPhase.PENDING)], None, id="between tasks"),
        pytest.param(
            [a_status("now", start_time=NOW), a_status("write", TaskPhase.RUNNING, start_time=NOW)],
            "write",
            id="the one under way, not the one that is done",
        ),
        pytest.param(
            [
                a_status("now", start_time=NOW),
                a_failure("write", ErrorClass.CANCELLED).model_copy(update={"start_time": NOW}),
            ],
            "write",
            id="the one that was cut off",
        ),
        pytest.param([a_status("write", TaskPhase.SKIPPED)], None, id="one that never began"),
    ],
)
def test_a_time_out_names_the_task_that_was_under_way(tasks: list[TaskStatus], named: str | None) -> None:
    found = diagnosis.of_time_out("the run took too long", tasks)

    assert (found.class_, found.task, found.summary) == ("TimedOut", named, "the run took too long")
    assert "Raise timeoutSeconds" in found.recommendations[0]


def test_outputs_that_can_not_be_worked_out_are_a_mistake_of_the_workflow() -> None:
    found = diagnosis.of_outputs("outputs[0].value: no such key: text")

    assert (found.class_, found.summary) == ("Expression", "outputs[0].value: no such key: text")
    assert "spec.outputs" in found.recommendations[0]


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        pytest.param("image", "image.* in the chart's values", id="image"),
        pytest.param("oom", "spec.pod.resources.limits.memory", id="out of memory"),
        pytest.param("evicted", "spec.pod.resources.requests", id="evicted"),
        pytest.param("removed", "create the run again", id="drained"),
        pytest.param("unschedulable", "nodeSelector", id="no node"),
        pytest.param("exited", "kubectl logs job/", id="ended"),
    ],
)
def test_the_trouble_of_the_pod_is_told_with_its_remedy(kind: str, advice: str) -> None:
    found = diagnosis.of_pod(PodTrouble(kind, "pod x is ill"), "the run's pod ended without a report")

    assert found.class_ == "Runner"
    assert found.summary == "the run's pod ended without a report: pod x is ill"
    assert advice in found.recommendations[0]


@pytest.mark.parametrize("length", [10, 4096, 9000])
def test_long_words_of_others_are_cut_and_never_an_error(length: int) -> None:
    long = "x" * length

    assert len(diagnosis.of_pod(PodTrouble("exited", long), "ended").summary) <= 4096
    assert len(diagnosis.of_pod(None, long).summary) <= 4096
    assert len(diagnosis.of_outputs(long).summary) <= 4096
    assert len(diagnosis.of_time_out(long, []).summary) <= 4096
    found = diagnosis.of_task([a_failure("now", message=long[:4096])], WORKFLOW)
    assert found
    assert len(found.summary) <= 4096


@pytest.mark.parametrize(
    ("unit", "server"),
    [
        pytest.param("write", "filesystem", id="a task"),
        pytest.param("write[a/b]", "filesystem", id="an item"),
        pytest.param("sub/look", "search", id="a nested task"),
        pytest.param("sub[x]/look[0]", "search", id="an item of a nested task of an item"),
        pytest.param("sub", "", id="a workflow"),
        pytest.param("gone", "", id="nothing"),
    ],
)
def test_the_server_of_every_unit_is_known(unit: str, server: str) -> None:
    assert diagnosis.server_of(unit, WORKFLOW) == server


def test_what_nobody_knows_is_told_with_how_to_go_on() -> None:
    error = TaskError(class_=ErrorClass.TIMEOUT, message="no answer within 30 s")
    found = diagnosis.of_task(
        [TaskStatus(name="write", phase=TaskPhase.INDETERMINATE, attempts=1, error=error)], WORKFLOW
    )
    assert found
    assert found.summary == 'task "write" ended as Indeterminate (Timeout): no answer within 30 s'
    assert "spec.resumeFrom" in found.recommendations[0]
    assert [(e.source, e.message) for e in found.evidence] == [
        ("task write", "Indeterminate (attempt 1): Timeout: no answer within 30 s")
    ]
