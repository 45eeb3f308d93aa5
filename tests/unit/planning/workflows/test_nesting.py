"""Workflows in workflows: what is found, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_parameter, a_run, a_server, a_spec, a_task, a_template, around

from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.planning.workflows import nesting, resolution
from mcp_orchestrator.planning.workflows.resolution import Rejected, Resolved, Surroundings, Waiting

SERVERS = {"time": a_server(observed_generation=1)}


def runs(name: str, template: str, **parameters: Any) -> Task:
    return Task(name=name, template={"name": template}, parameters=parameters)


def resolve(*templates: WorkflowTemplate) -> Resolved | Waiting | Rejected:
    """Look at a run of the first of them."""
    known = {template.metadata.name: template for template in templates}
    run = a_run(template=templates[0].metadata.name)
    return resolution.resolve(run, Surroundings(known, SERVERS))


def test_a_run_keeps_every_workflow_that_its_tasks_lead_to_once() -> None:
    found = resolve(
        a_template(runs("x", "middle"), runs("y", "inner"), name="top"),
        a_template(runs("z", "inner"), name="middle"),
        a_template(a_task(), name="inner"),
        a_template(a_task(), name="other"),
    )
    assert isinstance(found, Resolved)
    assert [nested.name for nested in found.template.nested] == ["middle", "inner"]
    assert found.template.nested[1].digest == resolution.digest(found.template.nested[1].spec)
    assert [server.name for server in found.servers] == ["time"]


@pytest.mark.parametrize(
    ("templates", "words"),
    [
        pytest.param(
            [a_template(runs("x", "b"), name="a"), a_template(runs("y", "a"), name="b")],
            "WorkflowTemplate b spec.tasks[0].template.name: the workflow leads back to itself: a → b → a",
            id="a circle",
        ),
        pytest.param(
            [a_template(runs("x", f"w{n + 1}"), name=f"w{n}") for n in range(4)] + [a_template(a_task(), name="w4")],
            "workflows stand more than 4 levels deep in each other: w0 → w1 → w2 → w3 → w4",
            id="too deep",
        ),
        pytest.param(
            [a_template(runs("x", "b"), name="a"), a_template(a_task(depends_on=["no"]), name="b")],
            'WorkflowTemplate b spec.tasks[0].dependsOn[0]: unknown task "no"',
            id="a mistake inside",
        ),
        pytest.param(
            [a_template(runs("x", "b"), name="a"), a_template(parameters=[a_parameter()], name="b")],
            "WorkflowTemplate a spec.tasks[0].parameters.topic: it is missing, and has no default",
            id="a missing parameter",
        ),
        pytest.param(
            [a_template(runs("x", "b", topci=1), name="a"), a_template(parameters=[a_parameter(default=1)], name="b")],
            'spec.tasks[0].parameters.topci: the workflow has no parameter "topci"; did you mean "topic"?',
            id="an unknown parameter",
        ),
        pytest.param(
            [
                a_template(runs("x", "b", topic=7), name="a"),
                a_template(parameters=[a_parameter(schema={"type": "string"})], name="b"),
            ],
            'spec.tasks[0].parameters.topic: 7 is not of type "string"',
            id="a value that does not fit",
        ),
        pytest.param(
            [a_template(a_task(arguments={"timezone": "x" * 70_000}), name="a")],
            "the workflow has 68 KiB as JSON, and the limit is 64 KiB",
            id="too large to keep",
        ),
    ],
)
def test_a_mistake_is_told_with_the_workflow_that_it_is_in(templates: list[WorkflowTemplate], words: str) -> None:
    found = resolve(*templates)
    assert isinstance(found, Rejected)
    assert words in found.message


def test_what_an_expression_gives_is_checked_when_it_runs() -> None:
    inner = a_template(parameters=[a_parameter(schema={"type": "string"})], name="b")
    assert isinstance(resolve(a_template(a_task("now"), runs("x", "b", topic="${{ 7 }}"), name="a"), inner), Resolved)


def test_a_workflow_that_is_not_there_may_come() -> None:
    found = resolve(a_template(runs("x", "inne"), name="a"), a_template(a_task(), name="inner"))
    assert isinstance(found, Waiting)
    assert found.reason == "TemplateNotFound"
    assert 'there is no WorkflowTemplate "inne" in the namespace; did you mean "inner"?' in found.message


def test_an_inline_workflow_may_lead_to_templates() -> None:
    run = a_run(template=a_spec(runs("x", "inner")))
    found = resolution.resolve(run, around(a_template(a_task(), name="inner"), SERVERS))
    assert isinstance(found, Resolved)
    assert nesting.SNAPSHOT_BYTES > 0


def test_a_secret_value_is_not_quoted_and_a_broken_schema_is_told() -> None:
    secret = a_template(
        parameters=[a_parameter("key", {"type": "string", "minLength": 20}, default="x" * 20, sensitive=True)], name="b"
    )
    found = resolve(a_template(runs("x", "b", key="s3cr3t"), name="a"), secret)
    assert isinstance(found, Rejected)
    assert "spec.tasks[0].parameters.key" in found.message
    assert "s3cr3t" not in found.message
    broken = a_template(parameters=[a_parameter("key", {"type": "no type"}, default=None)], name="b")
    found = resolve(a_template(runs("x", "b", key=1), name="a"), broken)
    assert isinstance(found, Rejected)
    assert "WorkflowTemplate b spec.parameters[0].schema" in found.message


def test_many_ways_to_the_same_workflow_are_looked_at_once() -> None:
    looked: list[str] = []

    class Counted(dict[str, WorkflowTemplate]):
        def get(self, key: str, default: Any = None) -> Any:
            looked.append(key)
            return super().get(key, default)

    def wide(name: str, inner: str) -> WorkflowTemplate:
        return a_template(*(runs(f"t{index}", inner) for index in range(100)), name=name)

    templates = Counted({"b": wide("b", "c"), "c": wide("c", "d"), "d": a_template(name="d")})
    found = nesting.find(wide("a", "b").spec, templates, "spec", "a")
    assert [template.metadata.name for template in found.templates] == ["b", "c", "d"]
    assert found.mistakes == ()
    assert len(looked) == 300


def test_more_workflows_than_a_status_takes_are_refused() -> None:
    inner = [a_template(Task(name="a", server="time", tool="t"), name=f"w{index}") for index in range(101)]
    middle = a_template(*(runs(f"t{index}", f"w{index + 1}") for index in range(100)), name="middle")
    found = resolve(a_template(runs("x", "w0"), runs("y", "middle"), name="top"), middle, *inner)
    assert isinstance(found, Rejected)
    assert "its tasks lead to 102 other workflows, and 100 is the most" in found.message
