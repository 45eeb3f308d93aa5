"""plan_template: whether a template can run, and what is wrong where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW, a_parameter, a_server, a_task, a_template, metadata
from tests.oracles import kstatus

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import ServerCondition
from mcp_orchestrator.api.workflowtemplate import TemplateCondition, WorkflowTemplate, WorkflowTemplateStatus
from mcp_orchestrator.planning.plan import EventType, Plan
from mcp_orchestrator.planning.templates.decision import ObservedTemplate, plan_template

LATER = NOW + timedelta(hours=1)
SETTLED = a_server(observed_generation=1)
STARTING = a_server(tools=None, ready=False, observed_generation=1)
ROLLING = SETTLED.model_copy(
    update={
        "status": SETTLED.status.model_copy(
            update={
                "conditions": conditions.merge(
                    (),
                    {
                        ServerCondition.READY: conditions.true("Ready"),
                        ServerCondition.RECONCILING: conditions.true("Starting"),
                    },
                    1,
                    NOW,
                )
            }
        )
    }
)
NO_TOOL = a_task("b", tool="get_time")
NO_SERVER = a_task("c", server="clock")
NO_GRAPH = a_task("d", depends_on=["x"])


def observe(template: WorkflowTemplate, servers: Iterable[MCPServer] = (SETTLED,)) -> ObservedTemplate:
    return ObservedTemplate(template, {server.metadata.name: server for server in servers})


def status_of(plan: Plan) -> Mapping[str, Any]:
    assert plan.status is not None
    return plan.status


def said(plan: Plan, type_: str = "Ready") -> tuple[str, str, str]:
    found = next(c for c in status_of(plan)["conditions"] if c["type"] == type_)
    return found["status"], found["reason"], found["message"]


def applied(observed: ObservedTemplate, plan: Plan) -> ObservedTemplate:
    """What is observed once the plan's status was applied: the operator owns all of it."""
    if plan.status is None:
        return observed
    status = WorkflowTemplateStatus.model_validate({"observedGeneration": -1, **plan.status})
    return ObservedTemplate(observed.template.model_copy(update={"status": status}), observed.servers)


@pytest.mark.parametrize(
    ("observed", "ready", "reason", "message", "verdict"),
    [
        pytest.param(observe(a_template()), "True", "Ready", "", kstatus.Verdict.CURRENT, id="sound"),
        pytest.param(
            observe(a_template(NO_GRAPH)),
            "False",
            "InvalidGraph",
            'spec.tasks[0].dependsOn[0]: unknown task "x"',
            kstatus.Verdict.FAILED,
            id="a dependency on nothing",
        ),
        pytest.param(
            observe(a_template(a_task(arguments={"timezone": "${{ params. }}"}))),
            "False",
            "InvalidExpression",
            "spec.tasks[0].arguments.timezone: ",
            kstatus.Verdict.FAILED,
            id="an expression that makes no sense",
        ),
        pytest.param(
            observe(a_template(parameters=[a_parameter(schema={"type": "strange"})])),
            "False",
            "InvalidParameter",
            "spec.parameters[0].schema: it is not a JSON Schema that can be used",
            kstatus.Verdict.FAILED,
            id="a schema that is none",
        ),
        pytest.param(
            observe(a_template(NO_TOOL)),
            "False",
            "ToolNotFound",
            'spec.tasks[0].tool: MCPServer "time" has no tool "get_time"; did you mean "get_current_time"?',
            kstatus.Verdict.FAILED,
            id="no such tool",
        ),
        pytest.param(
            observe(a_template(a_task(arguments={}))),
            "False",
            "InvalidArgument",
            "spec.tasks[0].arguments",
            kstatus.Verdict.FAILED,
            id="an argument is missing",
        ),
        pytest.param(
            observe(a_template(NO_SERVER)),
            "False",
            "ServerNotFound",
            'spec.tasks[0].server: there is no MCPServer "clock" in the namespace',
            kstatus.Verdict.IN_PROGRESS,
            id="no such server yet",
        ),
        pytest.param(
            observe(a_template(), [STARTING]),
            "False",
            "ServerNotReady",
            'spec.tasks[0].server: the tools of MCPServer "time" are not known yet',
            kstatus.Verdict.IN_PROGRESS,
            id="a server that starts",
        ),
        pytest.param(
            observe(a_template(NO_TOOL), [ROLLING]),
            "False",
            "ToolNotFound",
            'spec.tasks[0].tool: MCPServer "time" has no tool "get_time"',
            kstatus.Verdict.IN_PROGRESS,
            id="a tool that the next version of the server may have",
        ),
    ],
)
def test_the_status_tells_what_is_wrong_and_where(
    observed: ObservedTemplate, ready: str, reason: str, message: str, verdict: kstatus.Verdict
) -> None:
    plan = plan_template(observed, NOW)
    status, said_reason, said_message = said(plan)

    assert (status, said_reason) == (ready, reason)
    assert said_message.startswith(message)
    body = {"metadata": {"generation": 1}, "status": status_of(plan)}
    assert kstatus.verdict(body) == verdict
    assert plan.children == ()
    assert plan.wake_at is None


def test_a_mistake_that_lasts_is_told_before_one_that_may_pass() -> None:
    plan = plan_template(observe(a_template(NO_SERVER, NO_TOOL)), NOW)

    for type_ in ("Ready", "Stalled", "ToolsResolved"):
        _, reason, message = said(plan, type_)
        assert reason == "ToolNotFound"
        assert message.startswith("spec.tasks[1].tool: ")
        assert message.endswith("(and 1 more: see status.errors)")
    assert [(error["path"], error["reason"]) for error in status_of(plan)["errors"]] == [
        ("spec.tasks[1].tool", "ToolNotFound"),
        ("spec.tasks[0].server", "ServerNotFound"),
    ]


def test_tools_are_not_judged_before_the_workflow_is_sound() -> None:
    plan = plan_template(observe(a_template(NO_GRAPH, NO_TOOL)), NOW)

    assert said(plan, "Valid")[:2] == ("False", "InvalidGraph")
    assert said(plan, "ToolsResolved") == ("Unknown", "InvalidGraph", "the workflow itself must be mended first")
    assert [error["reason"] for error in status_of(plan)["errors"]] == ["InvalidGraph"]


def test_a_sound_template_has_no_errors_and_knows_its_tasks() -> None:
    status = status_of(plan_template(observe(a_template(a_task("a"), a_task("b"))), NOW))

    assert "errors" not in status
    assert (status["taskCount"], status["observedGeneration"]) == (2, 1)
    assert [c["type"] for c in status["conditions"]] == [*TemplateCondition]


def test_a_template_of_nothing_but_mistakes_still_has_a_status() -> None:
    tasks = [a_task(f"t{n}", depends_on=["x"]) for n in range(100)]

    plan = plan_template(observe(a_template(*tasks)), NOW)

    assert len(status_of(plan)["errors"]) == 64
    assert said(plan)[2].endswith("(and 99 more: see status.errors)")


def test_a_change_of_the_verdict_is_told_once() -> None:
    broken = observe(a_template(NO_SERVER))
    first = plan_template(broken, NOW)
    mended = ObservedTemplate(applied(broken, first).template, {"clock": a_server("clock", observed_generation=1)})
    second = plan_template(mended, LATER)

    assert [(e.type, e.reason) for e in first.events] == [(EventType.NORMAL, "ServerNotFound")]
    assert [(e.type, e.reason, e.note) for e in second.events] == [
        (EventType.NORMAL, "Ready", "The workflow can run: its graph is sound and its tools exist")
    ]


TEMPLATES = st.lists(st.sampled_from([a_task("a"), NO_TOOL, NO_SERVER, NO_GRAPH]), min_size=1, unique_by=id).map(
    lambda tasks: a_template(*tasks)
)
OBSERVED = st.builds(
    observe, TEMPLATES, st.sampled_from([(), (SETTLED,), (STARTING,), (ROLLING,), (SETTLED, a_server("clock"))])
)


@settings(max_examples=30)
@given(OBSERVED, OBSERVED)
def test_planning_again_after_the_write_writes_nothing(before: ObservedTemplate, after: ObservedTemplate) -> None:
    """Whatever the status said before: also that of another generation."""
    old = applied(before, plan_template(before, NOW)).template.status
    now = after.template.model_copy(update={"status": old, "metadata": metadata("field-notes", generation=2)})
    observed = ObservedTemplate(now, after.servers)
    first = plan_template(observed, LATER)

    assert plan_template(applied(observed, first), LATER + timedelta(days=1)) == Plan()
    held = {c.type: c for c in applied(observed, first).template.status.conditions}
    assert sum(held[t].status == "True" for t in ("Ready", "Reconciling", "Stalled")) == 1
    for condition in held.values():
        earlier = conditions.find(old.conditions, condition.type)
        assert earlier
        assert condition.observed_generation == 2
        assert condition.last_transition_time == (NOW if earlier.status == condition.status else LATER)
