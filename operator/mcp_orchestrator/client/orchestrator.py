"""The Python client: workflows from a program of one's own. Exported by the package itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.client import resultsfile, runs
from mcp_orchestrator.client.cluster import Access, opened, readable
from mcp_orchestrator.client.resultsfile import WorkflowResult


@dataclass(frozen=True, slots=True)
class MCPOrchestrator:
    """Runs workflows on a cluster: the one of the kubeconfig, or the one that this program runs in."""

    namespace: str = ""
    """Default: the one of the kubeconfig's context, or of the pod."""
    kubeconfig: str = ""
    context: str = ""

    async def execute_workflow(
        self,
        workflow_type: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        timeout_seconds: int | None = None,
        patience_seconds: int | None = None,
        results_directory: str = "",
    ) -> WorkflowResult:
        """Run the WorkflowTemplate of that name to its end, with values for its parameters.

        `timeout_seconds` limits the run, `patience_seconds` only the waiting for it. With `results_directory` the
        result is written there too. A run that fails or is cancelled is a result, and no error. Raises
        client.exits.Failed if there is no such template, if the cluster does not answer, if the run is deleted, if the
        patience is over, or if the result can't be written.
        """
        if results_directory:
            resultsfile.prepare(results_directory)
        order = runs.Order(workflow_type, timeout_seconds=timeout_seconds)
        async with opened(Access(self.namespace, self.kubeconfig, self.context)) as cluster:
            await runs.declared(cluster, workflow_type)
            made = await runs.create(cluster, order, parameters or {})
            body = await runs.stay(cluster, made["metadata"]["name"], patience_seconds, show=False)
        result = runs.result_of(readable(body))
        if results_directory:
            result.write(results_directory)
        return result
