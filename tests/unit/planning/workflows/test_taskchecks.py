"""Mistakes in one task: each is told with its path, and all that is right is let through."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_parameter, a_spec, a_task

from mcp_orchestrator.api.cache import TaskCache
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import ForEach, OnFailure, Retry, Task
from mcp_orchestrator.planning.workflows import checks

CONTINUE = OnFailure.CONTINUE


def found(*tasks: Task, final: bool = False) -> list[str]:
    """The mistakes of a workflow whose last task is looked at; the others are there to be named."""
    others = (a_task("a"), a_task("may-fail", on_failure=CONTINUE))
    spec = (
        a_spec(*others, finally_=tasks, parameters=[a_parameter("depth")])
        if final
        else a_spec(*others, *tasks, parameters=[a_parameter("depth")])
    )
    return [f"{mistake.reason} {mistake}" for mistake in checks.check_workflow(spec)]


@pytest.mark.parametrize(
    "task",
    [
        pytest.param({"depends_on": ["a", "tasks['may-fail'].failed || tasks['may-fail'].skipped"]}, id="dependsOn"),
        pytest.param({"when": "params.depth > 1 && tasks.a.result.ok"}, id="when"),
        pytest.param({"when": "${{ params.depth > 1 }}"}, id="when in braces"),
        pytest.param({"for_each": ForEach(items="${{ tasks.a.result }}", key="item.id")}, id="forEach"),
        pytest.param({"for_each": ForEach(items=[1, "${{ params.depth }}"], as_="n"), "when": "true"}, id="a list"),
        pytest.param({"success_when": "!has(result.error) && text != ''"}, id="successWhen"),
        pytest.param(
            {"retry": Retry(on_errors=(ErrorClass.TOOL,), when="attempt < 3 && error.class == 'Tool'")}, id="retry"
        ),
    ],
)
def test_a_sound_task_has_no_mistakes(task: dict[str, Any]) -> None:
    assert found(a_task("x", **task)) == []
    assert found(a_task("x", **task), final=True) == []


def test_items_are_read_by_arguments_and_conditions_of_the_call() -> None:
    arguments = {"x": "${{ question.text }} ${{ key }} ${{ index }}"}
    each = ForEach(items=["a"], as_="question")
    assert found(a_task("x", arguments=arguments, for_each=each, success_when="result.of == question")) == []
    assert found(a_task("x", arguments=arguments)) != []


def test_tasks_of_finally_read_how_the_run_went_and_others_do_not() -> None:
    arguments = {"x": "${{ run.reason }}", "y": "${{ run.failed ? tasks.a.phase : 'fine' }}"}
    assert found(a_task("x", arguments=arguments), final=True) == []
    assert found(a_task("x", arguments=arguments)) != []


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param(
            Task(name="x", tool="t"),
            "InvalidSpec spec.tasks[2]: it has no server: a task needs server and tool, or template",
            id="no server",
        ),
        pytest.param(
            Task(name="x"),
            "InvalidSpec spec.tasks[2]: it has no server and no tool: a task needs server and tool, or template",
            id="nothing to do",
        ),
        pytest.param(
            Task(name="x", template={"name": "w"}, arguments={"a": 1}),
            "InvalidSpec spec.tasks[2].arguments: it goes with a tool, and this task has none: take one of them out",
            id="arguments of a workflow",
        ),
        pytest.param(
            Task(name="x", template={"name": "w"}, cache=TaskCache(ttl_seconds=60)),
            "InvalidSpec spec.tasks[2].cache: it goes with a tool, and this task has none: take one of them out",
            id="a cache of a workflow",
        ),
        pytest.param(
            a_task("x", parameters={"a": 1}),
            "InvalidSpec spec.tasks[2].parameters: it goes with a template, and this task has none: take one of them "
            "out",
            id="parameters of a tool",
        ),
        pytest.param(
            a_task("x", depends_on=["params.depth > 1"]),
            "InvalidGraph spec.tasks[2].dependsOn[0]: it names no task: write what is about other things into when",
            id="a condition about no task",
        ),
        pytest.param(
            a_task("x", depends_on=["tasks.a.result.ok"]),
            "InvalidGraph spec.tasks[2].dependsOn[0]: it may ask how tasks ended (attempts, error, failed, phase, "
            "skipped, succeeded), not for their results: write that into when",
            id="a condition about a result",
        ),
        pytest.param(
            a_task("x", depends_on=["tasks.a.failed"]),
            "InvalidGraph spec.tasks[2].dependsOn[0]: it can never hold, since the run ends when a task fails; set "
            "onFailure: Continue on a",
            id="waiting for a failure that ends the run",
        ),
        pytest.param(
            a_task("x", for_each=ForEach(items="a, b")),
            "InvalidSpec spec.tasks[2].forEach.items: it is text: write one lone ${{ expression }}, or a list or an "
            "object",
            id="items as text",
        ),
        pytest.param(
            a_task("x", for_each=ForEach(items=3)),
            "InvalidSpec spec.tasks[2].forEach.items: it is a number, and must be a list or an object",
            id="items as a number",
        ),
        pytest.param(
            a_task("x", for_each=ForEach(items=[0] * 1001)),
            "InvalidSpec spec.tasks[2].forEach.items: it has 1001 items, and 1000 is the most",
            id="too many items",
        ),
        pytest.param(
            a_task("x", for_each=ForEach(items=[], as_="tasks")),
            'InvalidSpec spec.tasks[2].forEach.as: "tasks" is the name of another variable; choose one such as "item"',
            id="a name that is taken",
        ),
        pytest.param(
            a_task("x", retry=Retry(backoff_seconds=9, max_backoff_seconds=3)),
            "InvalidSpec spec.tasks[2].retry.backoffSeconds: 9 is more than maxBackoffSeconds, 3: make it smaller",
            id="pauses that contradict each other",
        ),
        pytest.param(
            a_task("x", retry=Retry(on_errors=(ErrorClass.EXPRESSION,))),
            "InvalidSpec spec.tasks[2].retry.onErrors[0]: Expression comes out the same every time; choose of Connect, "
            "Busy, Auth, Timeout, Transport, Protocol, Schema, Tool, ServerDown",
            id="trying again what can't change",
        ),
    ],
)
def test_a_mistake_is_told_with_its_path_and_remedy(task: Task, expected: str) -> None:
    assert found(task) == [expected]


@pytest.mark.parametrize(
    ("task", "path"),
    [
        pytest.param(a_task("x", when="1 +"), "when", id="when"),
        pytest.param(a_task("x", depends_on=["tasks.nobody.failed"]), "dependsOn[0]", id="dependsOn"),
        pytest.param(a_task("x", success_when="rezult.ok"), "successWhen", id="successWhen"),
        pytest.param(a_task("x", retry=Retry(when="atempt < 3")), "retry.when", id="retry.when"),
        pytest.param(a_task("x", for_each=ForEach(items="${{ tasks.no.result }}")), "forEach.items", id="items"),
        pytest.param(a_task("x", for_each=ForEach(items=[], key="itm.id")), "forEach.key", id="key"),
        pytest.param(Task(name="x", template={"name": "w"}, parameters={"a": "${{ x }}"}), "parameters.a", id="nested"),
    ],
)
def test_every_expression_of_a_task_is_checked(task: Task, path: str) -> None:
    told = found(task)
    assert len(told) == 1
    assert told[0].startswith(f"InvalidExpression spec.tasks[2].{path}: ")


def test_two_lists_of_tasks_share_their_names() -> None:
    assert found(a_task("a"), final=True)[0] == (
        'InvalidSpec spec.finally[0].name: "a" is the name of another task: give each its own'
    )


def test_tasks_of_finally_may_wait_for_each_other_but_not_in_a_circle() -> None:
    assert found(a_task("x"), a_task("y", depends_on=["x"]), final=True) == []
    told = found(a_task("x", depends_on=["y"]), a_task("y", depends_on=["x"]), final=True)
    assert told == [
        "InvalidGraph spec.finally: these tasks wait for each other, and can never start: x → y → x; take one "
        "dependency away"
    ]
