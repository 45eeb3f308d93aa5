"""MCP Orchestrator: a Kubernetes operator for MCP servers and workflows of MCP tool calls.

api          the three kinds as pydantic models, and the CRDs made from them
planning     decisions as pure functions: (observed, now) -> plan
cluster      the one door to the Kubernetes API
controllers  the operator: kopf events -> store -> work queue -> observe, plan, apply
runner       the program inside a run's Job: walks the graph and calls tools
gateway      the program in front of every MCP server
client       the command line, and the Python client: `from mcp_orchestrator import MCPOrchestrator`
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_orchestrator.client.orchestrator import MCPOrchestrator

__all__ = ["MCPOrchestrator"]


def __getattr__(name: str) -> Any:
    """The client, imported when it is asked for: the programs of the image do without it."""
    if name != "MCPOrchestrator":
        raise AttributeError(name)
    from mcp_orchestrator.client.orchestrator import MCPOrchestrator

    return MCPOrchestrator
