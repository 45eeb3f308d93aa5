"""Objects that the models can't hold are told by an event, and nothing on them is overwritten."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.planning.unreadable import plan_unreadable


@pytest.mark.parametrize("model", [MCPServer, WorkflowTemplate, WorkflowRun], ids=lambda model: model.__name__)
def test_the_event_names_the_fields_and_no_status_is_written(model: type[Any]) -> None:
    found = read(model, {"metadata": {"name": "x", "namespace": "default"}, "spec": None})
    assert isinstance(found, Unreadable)
    plan = plan_unreadable(found)
    assert plan.status is None
    assert plan.children == ()
    assert [event.reason for event in plan.events] == ["Unreadable"]
    assert "spec: Input should be a valid dictionary" in plan.events[0].note


def test_a_run_of_a_newer_version_keeps_its_status() -> None:
    body = {
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {"templateRef": {"name": "t"}},
        "status": {"phase": "Hibernating", "admittedAt": "2026-01-02T03:04:05Z"},
    }
    found = read(WorkflowRun, body)
    assert isinstance(found, Unreadable)
    assert plan_unreadable(found).status is None
