"""Models on the wire: what the API server gets, and what is read of what it sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.builders import a_run, a_server, a_spec

from mcp_orchestrator.api.base import Model
from mcp_orchestrator.api.diagnosis import Diagnosis
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.taskstatus import TaskStatus
from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_only_what_was_set_goes_on_the_wire() -> None:
    assert WorkflowRunStatus(observed_generation=2, job_name="run-1").wire() == {
        "observedGeneration": 2,
        "jobName": "run-1",
    }


def test_null_means_not_set() -> None:
    assert WorkflowRunStatus(message=None, tasks=()).wire() == {"tasks": []}


@pytest.mark.parametrize(
    ("model", "wire"),
    [
        pytest.param(Parameter(name="depth", default=None), {"name": "depth", "default": None}, id="a default"),
        pytest.param(
            TaskStatus.model_validate({"name": "now", "phase": "Succeeded", "result": None}),
            {"name": "now", "phase": "Succeeded", "result": None},
            id="a result",
        ),
        pytest.param(
            Diagnosis(class_=ErrorClass.TOOL, summary="broken"), {"class": "Tool", "summary": "broken"}, id="an alias"
        ),
    ],
)
def test_null_stays_where_it_is_a_value(model: Model, wire: dict[str, Any]) -> None:
    assert model.wire() == wire
    assert type(model).model_validate(wire) == model


def test_a_default_of_null_makes_a_parameter_optional() -> None:
    assert Parameter(name="depth").required
    assert not Parameter(name="depth", default=None).required
    assert not Parameter.model_validate({"name": "depth", "default": None}).required


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=8), JSON, max_size=4))
def test_arguments_and_parameters_come_back_as_they_went(values: dict[str, Any]) -> None:
    body = {
        "metadata": {"name": "run"},
        "spec": {
            "template": {"tasks": [{"name": "now", "server": "time", "tool": "t", "arguments": values}]},
            "parameters": values,
        },
    }

    assert WorkflowRun.model_validate(body).spec.wire() == body["spec"]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        pytest.param(MCPServer, {"stdio": {"command": "uvx", "args": ["mcp-server-time"]}, "replicas": 0}, id="server"),
        pytest.param(
            MCPServer,
            {"remote": {"url": "https://x", "headers": [{"name": "A", "secretKeyRef": {"name": "s", "key": "k"}}]}},
            id="remote server",
        ),
        pytest.param(
            WorkflowTemplate,
            {
                "maxParallelTasks": 1,
                "parameters": [{"name": "a", "schema": {"type": "string", "x": None}}],
                "tasks": [{"name": "t", "server": "s", "tool": "t", "dependsOn": []}],
                "outputs": [{"name": "o", "value": None}],
            },
            id="template",
        ),
    ],
)
def test_a_spec_comes_back_as_it_was_applied(kind: type[MCPServer] | type[WorkflowTemplate], spec: Any) -> None:
    assert kind.model_validate({"metadata": {"name": "x"}, "spec": spec}).spec.wire() == spec


def test_fields_of_a_newer_version_are_passed_over() -> None:
    body = {"metadata": {"name": "x", "managedFields": []}, "spec": {"stdio": {"command": "uvx", "shell": True}}}

    assert MCPServer.model_validate(body).spec.wire() == {"stdio": {"command": "uvx"}}


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        a_run().spec.timeout_seconds = 3  # type: ignore[misc]  # the point of the test


def test_the_source_of_a_server_is_told_in_one_word() -> None:
    assert a_server().spec.source == "stdio"
    assert a_spec().tasks[0].server == "time"
