"""The runner's client as the program that the official conformance suite starts: python client.py URL.

The suite names the scenario in its environment, and with it, for some, the calls to make.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.calls.tools import McpCaller

INVALID_TOOLS = (
    *("invalid_empty_header", "invalid_object_header", "invalid_array_header", "invalid_null_header"),
    *("invalid_number_header", "invalid_duplicate_same_case", "invalid_duplicate_diff_case"),
    *("invalid_space_in_name", "invalid_colon_in_name", "invalid_non_ascii_name", "invalid_control_char_name"),
)
CALLS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "initialize": [("anything", {})],
    "tools_call": [("add_numbers", {"a": 5, "b": 3})],
    "sse-retry": [("test_reconnection", {})],
    "request-metadata": [("anything", {})],
    "http-standard-headers": [("test_headers", {})],
    "http-invalid-tool-headers": [("valid_tool", {"region": "north"}), *((name, {}) for name in INVALID_TOOLS)],
    "json-schema-ref-no-deref": [("lookup_user", {"id": "u-1"})],
}
NO_TOOLS = frozenset({"initialize", "json-schema-ref-no-deref"})
"""Scenarios whose servers carry out no call, since they are about what comes before it."""


async def main(url: str, scenario: str) -> int:
    """Make the scenario's calls; 1 if one fails that should not."""
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    calls = CALLS.get(scenario) or [(call["name"], call["arguments"]) for call in context["toolCalls"]]
    code = 0
    async with McpCaller({"suite": url}, run_uid="conformance") as caller:
        for number, (tool, arguments) in enumerate(calls):
            try:
                answer = await caller.call(Call(f"call-{number}", "suite", tool, arguments, timeout_seconds=60))
                print(tool, "answered", json.dumps(answer.result))
            except CallFailed as failed:
                print(tool, "failed:", failed.error_class, failed.message)
                code = code if tool in INVALID_TOOLS or scenario in NO_TOOLS else 1
    return code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], os.environ["MCP_CONFORMANCE_SCENARIO"])))
