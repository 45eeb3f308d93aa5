"""Reading what the API server sends, whatever it is."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate

METADATA = {"name": "time", "namespace": "default", "uid": "u", "generation": 4, "resourceVersion": "9"}


def test_a_sound_object_becomes_its_model() -> None:
    found = read(MCPServer, {"metadata": METADATA, "spec": {"stdio": {"command": "uvx"}}})

    assert isinstance(found, MCPServer)
    assert found.metadata.resource_version == "9"
    assert found.status.observed_generation == -1


@pytest.mark.parametrize(
    ("spec", "faults"),
    [
        pytest.param({"tasks": []}, ["spec.tasks: Tuple should have at least 1 item"], id="an empty list"),
        pytest.param(
            {"tasks": [{"server": "s"}, {"name": "b", "tool": "t", "server": 7}]},
            ["spec.tasks[0].name: Field required", "spec.tasks[1].server: Input should be a valid string"],
            id="fields of list items",
        ),
        pytest.param(None, ["spec: "], id="no spec"),
    ],
)
def test_what_can_not_be_read_tells_which_fields_are_wrong(spec: Any, faults: list[str]) -> None:
    found = read(WorkflowTemplate, {"metadata": METADATA, "spec": spec})

    assert isinstance(found, Unreadable)
    assert found.metadata.generation == 4
    assert all(fault in found.message for fault in faults)


def test_the_message_names_no_more_than_five_fields() -> None:
    found = read(WorkflowTemplate, {"metadata": METADATA, "spec": {"tasks": [{} for _ in range(50)]}})

    assert isinstance(found, Unreadable)
    assert found.message.count("Field required") == 5
