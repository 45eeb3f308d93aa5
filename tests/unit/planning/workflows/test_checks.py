"""Workflows, checked as a whole: by themselves and against their servers."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_parameter, a_server, a_spec, a_task, a_tool, an_output

from mcp_orchestrator.api.cache import Cache, TaskCache
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowtemplate import TemplateReason
from mcp_orchestrator.planning.workflows import checks

SERVERS = {
    "time": a_server(),
    "search": a_server("search", [a_tool("find", None, read_only=True), a_tool("find_all", None)]),
    "new": a_server("new", tools=None, ready=False),
    "plain": a_server("plain", tools=[]),
}


def lines(found: tuple[Any, ...]) -> list[str]:
    return [f"{mistake.reason} {mistake}" for mistake in found]


def test_a_sound_workflow_has_no_mistakes() -> None:
    spec = a_spec(
        a_task("now", arguments={"timezone": "${{ params.zone }}"}),
        a_task("find", "search", "find", {"query": "${{ tasks.now.result.datetime }}"}, depends_on=["now"]),
        parameters=[a_parameter("zone", {"type": "string"}, default="UTC")],
        outputs=[an_output("found", "${{ tasks.find.result }} on ${{ tasks.now.result }}")],
    )
    assert checks.check_workflow(spec) == ()
    assert checks.check_tools(spec, SERVERS) == ()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(
            a_spec(a_task("a"), a_task("b"), a_task("a")),
            'InvalidSpec spec.tasks[2].name: "a" is the name of 2 tasks: give each its own',
            id="a name that two tasks have",
        ),
        pytest.param(
            a_spec(parameters=[a_parameter("a"), a_parameter("a")]),
            'InvalidSpec spec.parameters[1].name: "a" is the name of 2 parameters: give each its own',
            id="a name that two parameters have",
        ),
        pytest.param(
            a_spec(parameters=[a_parameter("a", {"type": "integer"}, default="x")]),
            'InvalidParameter spec.parameters[0].default: "x" is not of type "integer"',
            id="a default that does not fit",
        ),
        pytest.param(
            a_spec(a_task("search"), a_task("b", depends_on=["search", "serch"])),
            'InvalidGraph spec.tasks[1].dependsOn[1]: unknown task "serch"; did you mean "search"?',
            id="a dependency that is not there",
        ),
        pytest.param(
            a_spec(a_task("a"), a_task("b", depends_on=["a", "a"])),
            'InvalidGraph spec.tasks[1].dependsOn[1]: "a" stands here twice: take one out',
            id="a dependency that stands twice",
        ),
        pytest.param(
            a_spec(a_task("a", depends_on=["a"])),
            'InvalidGraph spec.tasks[0].dependsOn[0]: task "a" waits for itself: take it out',
            id="a task that waits for itself",
        ),
        pytest.param(
            a_spec(a_task("a", arguments={"x": {"y": ["${{ tasks.a.result }}"]}})),
            'InvalidGraph spec.tasks[0].arguments: arguments of task "a" uses the task itself, which has not ended '
            "before it runs",
            id="a task that uses its own result",
        ),
        pytest.param(
            a_spec(
                a_task("start"),
                a_task("a", depends_on=["start"], arguments={"x": "${{ tasks.b.result }}"}),
                a_task("b", depends_on=["a"]),
            ),
            "InvalidGraph spec.tasks: these tasks wait for each other, and can never start: a → b → a; take one "
            "dependency away",
            id="tasks that wait for each other",
        ),
        pytest.param(
            a_spec(a_task("a", arguments={"query": "${{ params.topci }}"}), parameters=[a_parameter("topic")]),
            'InvalidExpression spec.tasks[0].arguments.query: unknown parameter "topci"; did you mean "topic"?',
            id="an expression over a parameter that is not there",
        ),
        pytest.param(
            a_spec(outputs=[an_output(value={"a": ["${{ tasks.nwo.result }}"]})]),
            'InvalidExpression spec.outputs[0].value.a[0]: unknown task "nwo"; did you mean "now"?',
            id="an output of a task that is not there",
        ),
    ],
)
def test_a_mistake_in_the_workflow_itself_is_told_with_its_path_and_remedy(spec: Workflow, expected: str) -> None:
    assert lines(checks.check_workflow(spec)) == [expected]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param(
            a_task(server="tmie"),
            'ServerNotFound spec.tasks[0].server: there is no MCPServer "tmie" in the namespace; did you mean "time"? '
            'Otherwise create an MCPServer named "tmie"',
            id="a misspelt server",
        ),
        pytest.param(
            a_task(server="weather"),
            'ServerNotFound spec.tasks[0].server: there is no MCPServer "weather" in the namespace; create an '
            'MCPServer named "weather"',
            id="a server that is not there",
        ),
        pytest.param(
            a_task(server="new"),
            'ServerNotReady spec.tasks[0].server: the tools of MCPServer "new" are not known yet; it is not ready: '
            "Starting: its first pod is starting",
            id="a server that has not been asked",
        ),
        pytest.param(
            a_task(server="search", tool="findall"),
            'ToolNotFound spec.tasks[0].tool: MCPServer "search" has no tool "findall"; did you mean "find_all"? '
            "It has find, find_all",
            id="a misspelt tool",
        ),
        pytest.param(
            a_task(server="plain", tool="x"),
            'ToolNotFound spec.tasks[0].tool: MCPServer "plain" has no tool "x"; it has none',
            id="a server without tools",
        ),
        pytest.param(
            a_task(arguments={"timezone": 1}),
            'InvalidArgument spec.tasks[0].arguments.timezone: 1 is not of type "string", as tool "get_current_time" '
            'of MCPServer "time" asks',
            id="an argument that the tool refuses",
        ),
    ],
)
def test_a_mistake_about_the_servers_is_told_with_its_path_and_remedy(task: Task, expected: str) -> None:
    assert lines(checks.check_tools(a_spec(task), SERVERS)) == [expected]


@pytest.mark.parametrize(
    ("task", "expected"),
    [
        pytest.param(a_task(), [], id="no cache"),
        pytest.param(a_task(cache=TaskCache(ttl_seconds=0)), [], id="never"),
        pytest.param(a_task(cache=TaskCache(ttl_seconds=9, force=True)), [], id="forced"),
        pytest.param(a_task(cache=TaskCache(ttl_seconds=9), idempotent=True), [], id="idempotent"),
        pytest.param(a_task(server="search", tool="find", cache=TaskCache(ttl_seconds=9)), [], id="it only reads"),
        pytest.param(
            a_task(cache=TaskCache(ttl_seconds=9)),
            [
                'InvalidSpec spec.tasks[0].cache: tool "get_current_time" declares neither that it only reads nor that '
                "a repeated call is harmless, so its answers are not taken again: leave cache out, or set cache.force: "
                "true if all that counts is the answer"
            ],
            id="a tool that does not say",
        ),
        pytest.param(
            a_task(server="search", tool="find", cache=TaskCache(ttl_seconds=9), idempotent=False),
            [
                "InvalidSpec spec.tasks[0].cache: the task says idempotent: false, so its answers are not taken again: "
                "leave cache out, or set cache.force: true if all that counts is the answer"
            ],
            id="a task that says no",
        ),
    ],
)
def test_a_cache_that_could_not_act_is_told_with_the_remedy(task: Task, expected: list[str]) -> None:
    assert lines(checks.check_tools(a_spec(task, cache=Cache(ttl_seconds=9)), SERVERS)) == expected


def test_tools_that_were_known_once_are_checked_while_the_server_is_away() -> None:
    away: dict[str, MCPServer] = {"time": a_server(ready=False)}
    assert checks.check_tools(a_spec(), away) == ()
    assert [mistake.reason for mistake in checks.check_tools(a_spec(a_task(tool="x")), away)] == [
        TemplateReason.TOOL_NOT_FOUND
    ]


def test_paths_begin_where_the_workflow_stands() -> None:
    spec = a_spec(a_task("a", server="gone", depends_on=["a"]))
    assert checks.check_workflow(spec, "spec.template")[0].path == "spec.template.tasks[0].dependsOn[0]"
    assert checks.check_tools(spec, SERVERS, "spec.template")[0].path == "spec.template.tasks[0].server"


def test_however_long_the_names_and_values_are_a_mistake_keeps_within_the_bounds_of_the_api() -> None:
    key, text = "k" * 600, "${{ params." + "x" * 4000 + " }}"
    found = checks.check_workflow(a_spec(a_task("a", arguments={key: {key: text}}), a_task("b", depends_on=["z"] * 16)))
    assert [mistake.reason for mistake in found].count(TemplateReason.INVALID_EXPRESSION) == 1
    assert all(len(mistake.path) <= 512 and len(mistake.message) <= 2048 for mistake in found)
