"""Whether a run can start, and what is told when it can't."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pytest
from tests.builders import NOW, a_parameter, a_run, a_server, a_spec, a_task, a_template, a_tool, around

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.planning.workflows import resolution
from mcp_orchestrator.planning.workflows.resolution import Rejected, Resolved, Waiting

Look = Callable[[], Resolved | Waiting | Rejected]
TOPIC = a_parameter(schema={"type": "string", "minLength": 1})


def settled(name: str = "time", **fields: Any) -> MCPServer:
    """A server whose tools are those of its newest spec."""
    return a_server(name, **{"observed_generation": 1, **fields})


def changing(name: str = "time", **verdicts: Verdict) -> MCPServer:
    """A server that is ready, and not yet what its spec says."""
    held = {ServerCondition.READY: conditions.true("Ready"), **verdicts}
    return with_conditions(held, name)


def with_conditions(verdicts: Mapping[str, Verdict], name: str = "time") -> MCPServer:
    """A server with these conditions, and no others."""
    server = settled(name)
    held = conditions.merge((), verdicts, 1, NOW)
    return server.model_copy(update={"status": server.status.model_copy(update={"conditions": held})})


def resolve(
    template: WorkflowTemplate | Workflow | None = None,
    servers: Iterable[MCPServer] = (settled(),),
    parameters: Mapping[str, Any] | None = None,
) -> Resolved | Waiting | Rejected:
    """Look at a run of that workflow, inline if it is only a spec."""
    if isinstance(template, Workflow):
        run, found = a_run(template=template, parameters=parameters), None
    else:
        run, found = a_run(parameters=parameters), template
    return resolution.resolve(run, around(found, {server.metadata.name: server for server in servers}))


def test_a_run_of_a_template_starts_with_just_what_was_seen() -> None:
    found = resolve(a_template(a_task(), a_task("later"), timeout_seconds=9), [settled(tools_digest="sha256:t")])

    assert isinstance(found, Resolved)
    assert found.template.name == "field-notes"
    assert found.template.generation == 1
    assert found.template.spec == a_spec(a_task(), a_task("later"), timeout_seconds=9)
    assert [server.wire() for server in found.servers] == [
        {
            "name": "time",
            "url": "http://time.default.svc:8080/mcp",
            "digest": resolution.digest(settled().spec),
            "timeoutSeconds": 30,
            "toolsDigest": "sha256:t",
            "tools": [{"name": "get_current_time", "repeatable": False}],
        }
    ]


def test_an_inline_workflow_has_no_name() -> None:
    found = resolve(a_spec())

    assert isinstance(found, Resolved)
    assert "name" not in found.template.wire()
    assert found.template.generation == 1


def test_the_servers_are_those_that_the_tasks_call_each_once() -> None:
    tasks = [a_task("a"), a_task("b", server="clock"), a_task("c")]

    found = resolve(a_spec(*tasks), [settled(), settled("clock"), settled("other")])

    assert isinstance(found, Resolved)
    assert [server.name for server in found.servers] == ["clock", "time"]


def test_the_digest_is_that_of_the_meaning_and_not_of_the_order_of_keys() -> None:
    one = a_spec(a_task(arguments={"timezone": "UTC", "x": 1}))
    same = a_spec(a_task(arguments={"x": 1, "timezone": "UTC"}))
    other = a_spec(a_task(arguments={"timezone": "UTC", "x": 2}))

    assert resolution.digest(one) == resolution.digest(same) != resolution.digest(other)
    assert resolution.digest(one).startswith("sha256:")


@pytest.mark.parametrize(
    ("look", "reason", "message"),
    [
        pytest.param(
            partial(resolve, None),
            RunReason.TEMPLATE_NOT_FOUND,
            'spec.templateRef.name: there is no WorkflowTemplate "field-notes" in namespace "default"; '
            "create it, or delete this run and name another",
            id="no such template",
        ),
        pytest.param(
            partial(resolve, a_template(name="field-note")),
            RunReason.TEMPLATE_NOT_FOUND,
            'spec.templateRef.name: there is no WorkflowTemplate "field-notes" in namespace "default"; '
            'did you mean "field-note"? Then delete this run and name that one; else create "field-notes"',
            id="a template with another name",
        ),
        pytest.param(
            partial(resolve, a_template(a_task(server="tiem"))),
            RunReason.SERVER_NOT_FOUND,
            'WorkflowTemplate field-notes spec.tasks[0].server: there is no MCPServer "tiem" in the namespace; '
            'did you mean "time"? Otherwise create an MCPServer named "tiem"',
            id="no such server",
        ),
        pytest.param(
            partial(resolve, a_spec(), [settled(tools=None, ready=False)]),
            RunReason.SERVER_NOT_READY,
            'MCPServer "time" has not been ready since 2026-01-02T03:04:05Z: Starting',
            id="a server that was never asked",
        ),
        pytest.param(
            partial(resolve, a_spec(), [settled(ready=False)]),
            RunReason.SERVER_NOT_READY,
            'MCPServer "time" has not been ready since 2026-01-02T03:04:05Z: Starting',
            id="a server that was well before",
        ),
        pytest.param(
            partial(resolve, a_spec(), [with_conditions({})]),
            RunReason.SERVER_NOT_READY,
            'MCPServer "time" has not been checked yet',
            id="a server without a condition",
        ),
    ],
)
def test_a_run_waits_for_what_may_come(look: Look, reason: RunReason, message: str) -> None:
    patience = None if reason == RunReason.TEMPLATE_NOT_FOUND else 3600
    assert look() == Waiting(reason, message, patience)


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(changing(Reconciling=conditions.true("Starting")), id="rolling out"),
        pytest.param(a_server(observed_generation=0), id="not looked at since its spec changed"),
    ],
)
def test_a_tool_that_a_changing_server_does_not_have_yet_is_waited_for(server: MCPServer) -> None:
    found = resolve(a_spec(a_task(tool="brand_new")), [server])

    assert isinstance(found, Waiting)
    assert found.reason == RunReason.SERVER_NOT_READY
    assert 'has no tool "brand_new"' in found.message
    assert found.message.endswith("(the server is changing, and may have other tools soon)")


def test_a_mistake_at_a_server_that_is_settled_is_not_hidden_by_one_that_is_not() -> None:
    tasks = [a_task("a", tool="brand_new"), a_task("b", server="clock", tool="no_such")]

    found = resolve(a_spec(*tasks), [settled(ready=False), settled("clock")])

    assert isinstance(found, Rejected)
    assert [mistake.path for mistake in found.mistakes] == ["spec.template.tasks[1].tool"]


@pytest.mark.parametrize(
    ("look", "reason", "messages"),
    [
        pytest.param(
            partial(resolve, a_template(a_task(depends_on=["nwo"]))),
            RunReason.TEMPLATE_INVALID,
            ["WorkflowTemplate field-notes spec.tasks[0].dependsOn[0]: unknown task"],
            id="a graph of a template",
        ),
        pytest.param(
            partial(resolve, a_spec(a_task(arguments={"timezone": "${{ params.zone }}"}))),
            RunReason.TEMPLATE_INVALID,
            ["spec.template.tasks[0].arguments.timezone: "],
            id="an inline expression",
        ),
        pytest.param(
            partial(resolve, a_template(parameters=[TOPIC])),
            RunReason.INVALID_PARAMETER,
            ["spec.parameters.topic: it is missing, and has no default: give it a value"],
            id="a missing parameter",
        ),
        pytest.param(
            partial(resolve, a_template(parameters=[TOPIC]), parameters={"topic": 7}),
            RunReason.INVALID_PARAMETER,
            ["spec.parameters.topic: "],
            id="a parameter of another type",
        ),
        pytest.param(
            partial(resolve, a_template(parameters=[TOPIC]), parameters={"topci": "x"}),
            RunReason.INVALID_PARAMETER,
            [
                'spec.parameters.topci: unknown parameter "topci"; did you mean "topic"?',
                "spec.parameters.topic: it is missing",
            ],
            id="a misspelt parameter",
        ),
        pytest.param(
            partial(resolve, a_spec(a_task(tool="get_time"))),
            RunReason.TEMPLATE_INVALID,
            ['spec.template.tasks[0].tool: MCPServer "time" has no tool "get_time"'],
            id="no such tool",
        ),
        pytest.param(
            partial(resolve, a_spec(a_task(arguments={"zone": "UTC"}))),
            RunReason.TEMPLATE_INVALID,
            ["spec.template.tasks[0].arguments"],
            id="an argument that the tool does not take",
        ),
    ],
)
def test_a_run_that_can_never_start_is_rejected_with_all_mistakes(
    look: Look, reason: RunReason, messages: list[str]
) -> None:
    found = look()

    assert isinstance(found, Rejected)
    assert found.reason == reason
    lines = found.message.split("\n")
    assert len(lines) == len(found.mistakes) >= len(messages)
    for line, message in zip(lines, messages, strict=False):
        assert line.startswith(message)


@pytest.mark.parametrize(
    ("template", "servers", "parameters", "reason"),
    [
        pytest.param(a_template(a_task(depends_on=["x"])), [], {"y": 1}, RunReason.TEMPLATE_INVALID, id="the workflow"),
        pytest.param(a_template(), [], {"y": 1}, RunReason.INVALID_PARAMETER, id="then the parameters"),
        pytest.param(a_template(), [], {}, RunReason.SERVER_NOT_FOUND, id="then the servers"),
    ],
)
def test_the_first_of_several_kinds_of_mistakes_is_told(
    template: WorkflowTemplate, servers: list[MCPServer], parameters: dict[str, Any], reason: RunReason
) -> None:
    found = resolve(template, servers, parameters)

    assert isinstance(found, Waiting | Rejected)
    assert found.reason == reason


def test_parameters_may_be_left_to_their_defaults() -> None:
    template = a_template(
        parameters=[a_parameter(schema={"type": "string"}, default="x"), a_parameter("n", default=None)]
    )

    assert isinstance(resolve(template), Resolved)


def test_tools_with_unknown_arguments_are_not_checked() -> None:
    assert isinstance(
        resolve(a_spec(a_task(arguments={"a": 1})), [settled(tools=[a_tool(input_schema=None)])]), Resolved
    )
