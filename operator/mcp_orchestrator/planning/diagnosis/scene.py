"""What stands around a run that has failed: looked at once, by controllers and the CLI, and told of by `evidence`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer

Object = Mapping[str, Any]
"""A Kubernetes object as JSON."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to look at before a run is said to have failed."""

    server: str = ""
    """The MCPServer that may be the cause."""
    pod: bool = False
    """Whether the run's own Job and pods are."""


@dataclass(frozen=True, slots=True)
class ServerScene:
    """An MCPServer as it was found."""

    name: str
    server: MCPServer | None = None
    """None if there is none of that name."""
    pods: tuple[Object, ...] = ()
    report: GatewayReport | None = None
    """What a gateway of it said just now."""
    log: str = ""
    """The last lines of its log, if there is no report that has them."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What was found."""

    server: ServerScene | None = None
    job: Object | None = None
    pods: tuple[Object, ...] = ()
    """The run's own."""
    warnings: tuple[Object, ...] = ()
    """Events of type Warning about any of these."""
    gaps: tuple[str, ...] = field(default=())
    """What could not be looked at, and why."""


def is_about(event: Object, job: str, server: str) -> bool:
    """Whether the Event tells of the Job or the server of those names, or of their pods."""
    regarding = event.get("regarding", {})
    kind, name = regarding.get("kind", ""), regarding.get("name", "")
    if job and (name == job or (kind == "Pod" and re.fullmatch(f"{re.escape(job)}-[a-z0-9]{{5}}", name))):
        return True
    if not server:
        return False
    parts = {"Pod": "-[a-z0-9]{1,10}-[a-z0-9]{5}", "ReplicaSet": "-[a-z0-9]{1,10}"}
    named = {"MCPServer", "Deployment", "Service"}
    return (kind in named and name == server) or (
        kind in parts and re.fullmatch(re.escape(server) + parts[kind], name) is not None
    )
