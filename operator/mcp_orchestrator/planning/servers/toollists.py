"""A server's tools, bounded to what its status may hold. Used by `decision`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.gatewayreport import ReportedTool
from mcp_orchestrator.api.mcpserverstatus import Tool

MAX_TOOLS = 512
MAX_TOOL_SCHEMA_BYTES = 8 * 1024
MAX_SCHEMAS_BYTES = 192 * 1024


def known_tools(reported: Iterable[ReportedTool]) -> tuple[Tool, ...]:
    """The tools as the status keeps them: by name, and with as many argument schemas as fit its bounds."""
    tools, room = [], MAX_SCHEMAS_BYTES
    for tool in sorted((tool for tool in reported if tool.name), key=lambda tool: tool.name)[:MAX_TOOLS]:
        size = _json_bytes(tool.input_schema)
        fits = size <= min(MAX_TOOL_SCHEMA_BYTES, room)
        room -= int(size) if fits else 0
        fields: dict[str, Any] = {
            "name": conditions.shorten(tool.name, 128),
            "digest": tool.digest,
            "read_only": tool.read_only,
            "idempotent": tool.idempotent,
            "destructive": tool.destructive,
        }
        if tool.description and tool.description.strip():
            fields["description"] = conditions.shorten(tool.description.strip().splitlines()[0], 512)
        if fits:
            fields["input_schema"] = tool.input_schema
        tools.append(Tool(**fields))
    return tuple(tools)


def _json_bytes(value: Mapping[str, Any]) -> float:
    """The size of a server's words as JSON: infinite for what the API server could not take, such as 2**64."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return float("inf")
