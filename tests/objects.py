"""Our kinds as JSON, for tests that talk to a real API server."""

from __future__ import annotations

from typing import Any

API_VERSION = "mcp-orchestrator.io/v1alpha1"
DEMO_IMAGE = "mcp-demo-servers:dev"


def an_object(kind: str, name: str, spec: dict[str, Any], namespace: str = "") -> dict[str, Any]:
    """An object of ours."""
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": metadata, "spec": spec}


def a_server(name: str = "time", namespace: str = "", **spec: Any) -> dict[str, Any]:
    """A server; mcp-server-time over stdio if nothing else is said."""
    source = spec or {"stdio": {"command": "mcp-server-time", "args": ["--local-timezone", "UTC"], "image": DEMO_IMAGE}}
    return an_object("MCPServer", name, source, namespace)


def a_task(name: str = "now", **fields: Any) -> dict[str, Any]:
    """A task; the time in UTC if nothing else is said."""
    return {
        "name": name,
        "server": "time",
        "tool": "get_current_time",
        "arguments": {"timezone": "UTC"},
        **fields,
    }


def a_template(name: str = "clock", namespace: str = "", **spec: Any) -> dict[str, Any]:
    """A template of one task if nothing else is said."""
    return an_object("WorkflowTemplate", name, {"tasks": [a_task()], **spec}, namespace)


def a_run(name: str = "run", namespace: str = "", **spec: Any) -> dict[str, Any]:
    """A run of the template `clock` if nothing else is said."""
    return an_object("WorkflowRun", name, spec or {"templateRef": {"name": "clock"}}, namespace)


def condition(found: Any, type_: str) -> dict[str, Any]:
    """The condition of that type of an object; empty if there is none."""
    conditions = found.get("status", {}).get("conditions", ())
    return next((condition for condition in conditions if condition["type"] == type_), {})
