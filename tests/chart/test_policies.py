"""The admission policies name fields that exist. That they do what they should is shown on a real API server."""

from __future__ import annotations

import re

import pytest
from tests.chart import helm

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.api.mcpserver import MCPServerSpec
from mcp_orchestrator.api.workflowrun import WorkflowRunSpec
from mcp_orchestrator.api.workflowrunstatus import RunnerStatus, WorkflowRunStatus

RUNNER = f"{helm.NAME}-runner-own-run"
SERVERS = f"{helm.NAME}-server-references"
OBJECTS = f"{helm.NAME}-runner-own-objects"
RUNS = f"{helm.NAME}-run-references"
ANSWERS = f"{helm.NAME}-runner-cached-answers"
CLEANUP = f"{helm.NAME}-operator-own-objects"
ALL = (RUNNER, SERVERS, OBJECTS, RUNS, ANSWERS, CLEANUP)


def policy(name: str) -> str:
    """The policy's spec as text."""
    return str(helm.the("ValidatingAdmissionPolicy", name)["spec"])


def test_the_runners_fields_are_fields_of_a_run() -> None:
    (listed,) = re.findall(r"field in \[(.*?)\]", policy(RUNNER))
    fields = {field.alias for field in WorkflowRunStatus.model_fields.values()}
    assert set(re.findall(r"\w+", listed)) == {
        "runner", "tasks", "progress", "outputs", "outputsSecret"
    } <= fields  # fmt: skip


def test_the_runners_policy_reads_fields_of_a_run() -> None:
    text = policy(RUNNER)
    fields = {field.alias for field in WorkflowRunStatus.model_fields.values()}
    assert set(re.findall(r"bject\.status\.(\w+)", text)) <= fields
    assert set(re.findall(r"status\.runner\.(\w+)", text)) <= {
        field.alias for field in RunnerStatus.model_fields.values()
    }
    assert RUNNER_MANAGER in text


def test_the_servers_policy_reads_fields_of_a_server() -> None:
    found = set(re.findall(r"object\.spec\.(\w+)", policy(SERVERS)))
    assert found == {"env", "remote", "volumes", "imagePullSecrets", "serviceAccountName"}
    assert found <= {field.alias for field in MCPServerSpec.model_fields.values()}


def test_the_runs_policy_reads_fields_of_a_run() -> None:
    found = set(re.findall(r"object\.spec\.(\w+)", policy(RUNS)))
    assert found == {"parametersFrom"}
    assert found <= {field.alias for field in WorkflowRunSpec.model_fields.values()}


@pytest.mark.parametrize("name", ALL)
def test_a_policy_is_bound_and_denies(name: str) -> None:
    assert helm.the("ValidatingAdmissionPolicyBinding", name)["spec"] == {
        "policyName": name,
        "validationActions": ["Deny"],
    }
    assert helm.the("ValidatingAdmissionPolicy", name)["spec"]["failurePolicy"] == "Fail"


def test_policies_apply_where_the_operator_works() -> None:
    values = helm.NO_CRDS | {"watchNamespaces": ["alpha"]}
    for name in ALL:
        constraints = helm.the("ValidatingAdmissionPolicy", name, values)["spec"]["matchConstraints"]
        (expression,) = constraints["namespaceSelector"]["matchExpressions"]
        assert expression == {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["alpha"]}
