"""What `diagnose` says to do about a run that has not failed."""

from __future__ import annotations

import pytest
from tests.builders import a_run

from mcp_orchestrator.api.workflowrunstatus import RunPhase, WorkflowRunStatus
from mcp_orchestrator.client.diagnose import Found


@pytest.mark.parametrize(
    ("phase", "reason", "step"),
    [
        ("Running", "Unschedulable", "kubectl describe nodes"),
        ("Running", "ImagePull", "Make the operator's image available to the nodes"),
        ("Running", "MissingReference", "its pod then starts by itself"),
        ("Pending", "ServerNotReady", "kubectl -n default get mcpservers -o wide"),
        ("Queued", "ClusterLimit", "mcp-orchestrator queue -n default"),
        ("Queued", "ServerLimit", "mcp-orchestrator queue -n default"),
        ("Suspended", "Suspended", "mcp-orchestrator resume"),
    ],
)
def test_a_run_that_waits_is_told_what_to_do_about_it(phase: str, reason: str, step: str) -> None:
    waiting = a_run(status=WorkflowRunStatus(phase=RunPhase(phase), waiting_reason=reason, message="it waits"))

    (found,) = Found(waiting).recommendations
    assert step in found


def test_a_run_whose_message_says_what_to_do_is_told_no_more() -> None:
    waiting = a_run(status=WorkflowRunStatus(phase=RunPhase.PENDING, waiting_reason="TemplateNotFound", message="no"))

    assert Found(waiting).recommendations == ()
