"""How the product does as a whole, for /healthz: its servers and its queue. Used by controllers.operator."""

from __future__ import annotations

from collections.abc import Iterable

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import ServerCondition, ServerReason
from mcp_orchestrator.controllers.health import Condition, Report

NAMED = 5
"""So many broken servers are named in the message."""


def of_servers(servers: Iterable[MCPServer]) -> Report:
    """Healthy if all servers are ready, unhealthy if none is; those scaled to zero do not count."""
    ready, broken = 0, []
    for server in servers:
        found = conditions.find(server.status.conditions, ServerCondition.READY)
        if found and found.status == conditions.ConditionStatus.TRUE:
            ready += 1
        elif not found or found.reason != ServerReason.SCALED_TO_ZERO:
            broken.append(f"{server.metadata.namespace}/{server.metadata.name}")
    message = f"{ready} of {ready + len(broken)} servers are ready"
    if not broken:
        return Report(Condition.HEALTHY, message)
    names = ", ".join(sorted(broken)[:NAMED]) + (" …" if len(broken) > NAMED else "")
    return Report(Condition.DEGRADED if ready else Condition.UNHEALTHY, f"{message}; not ready: {names}")


def of_queue(active: int, waiting: int, limit: int) -> Report:
    """Healthy while every run that could start has a slot, degraded while some wait, unhealthy if none can start."""
    message = f"{active} of {limit} slots are taken, {waiting} runs wait for one"
    if not waiting:
        return Report(Condition.HEALTHY, message)
    return Report(Condition.DEGRADED if limit else Condition.UNHEALTHY, message)
