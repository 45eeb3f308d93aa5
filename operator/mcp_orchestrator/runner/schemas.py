"""Output schemas: whether a result is what its tool declares. Called by `tools`, once a call has its answer.

Checked here and not by the SDK: it asks for the list of tools after each call, and a list that can't be had or read
would throw the result away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import mcp_types
from mcp import ClientSession, MCPError
from pydantic import ValidationError

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.runner import wording
from mcp_orchestrator.runner.calls import CallFailed

log = logging.getLogger(__name__)

LIST_SECONDS = 5.0
PAGES = 20


class OutputSchemas:
    """The output schemas of the servers' tools, asked for once in a run and server."""

    def __init__(self) -> None:
        self._by_server: dict[str, Mapping[str, Any]] = {}

    async def learn(self, server: str, session: ClientSession) -> None:
        """Ask `server` for its tools, if that was not done yet. Without an answer, nothing is checked."""
        if server in self._by_server:
            return
        try:
            async with asyncio.timeout(LIST_SECONDS):
                self._by_server[server] = await _listed(session)
        except (MCPError, ValidationError, RuntimeError, TimeoutError) as error:
            self._by_server[server] = {}
            log.warning("the tools of server %s can't be listed, so results go unchecked", server)
            log.debug("listing the tools of server %s failed: %s", server, error)

    def check(self, server: str, tool: str, result: mcp_types.CallToolResult) -> None:
        """Raise CallFailed if the result is not what the tool declares."""
        schema = self._by_server.get(server, {}).get(tool)
        if schema is None:
            return
        if "structured_content" not in result.model_fields_set:
            raise CallFailed(ErrorClass.SCHEMA, "the tool declares an output schema, but gave no structured content")
        # Imported here: most tools declare no schema.
        import jsonschema_rs

        try:
            validator = jsonschema_rs.validator_for(schema, offline=True)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            words = wording.one_line(str(error), 512)
            raise CallFailed(ErrorClass.SCHEMA, f"the tool's output schema is no JSON Schema: {words}") from error
        fault = next(iter(validator.iter_errors(result.structured_content)), None)
        if fault is not None:
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.instance_path)
            words = wording.one_line(fault.message, 1024)
            raise CallFailed(ErrorClass.SCHEMA, f"the result breaks the tool's output schema at result{place}: {words}")


async def _listed(session: ClientSession) -> dict[str, Any]:
    schemas: dict[str, Any] = {}
    cursor: str | None = None
    for _ in range(PAGES):
        page = await session.list_tools(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        schemas |= {tool.name: tool.output_schema for tool in page.tools}
        cursor = page.next_cursor
        if not cursor:
            break
    return schemas
