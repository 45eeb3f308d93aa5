"""What servers declare of their tools: which arguments go into headers, and what a result looks like. Used by `tools`.

Kept here and not by the SDK: a session lasts for one call, and would ask for the list of tools each time; and a list
that can't be had or read would throw the result away.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import mcp_types
from mcp import ClientSession, MCPError
from mcp.shared.inbound import find_invalid_x_mcp_header, mcp_param_headers, x_mcp_header_map
from pydantic import ValidationError

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.callfailed import CallFailed

if TYPE_CHECKING:
    import jsonschema_rs

log = logging.getLogger(__name__)

LIST_SECONDS = 5.0
PAGES = 20


@dataclass(frozen=True)
class _Definition:
    output_schema: dict[str, Any] | None
    headers: Mapping[tuple[str, ...], str]
    """The names of headers, by the path of the argument that they repeat."""
    fault: str | None
    """Why a client must not call the tool at all."""

    @cached_property
    def validator(self) -> jsonschema_rs.Validator:
        """Tells the faults of a result, without showing it. Raises CallFailed."""
        import jsonschema_rs

        try:
            return jsonschema_rs.validator_for(self.output_schema or {}, offline=True, mask="the value")
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            words = wording.one_line(str(error), 512)
            raise CallFailed(ErrorClass.SCHEMA, f"the tool's output schema is no JSON Schema: {words}") from error


class Definitions:
    """The tools of the servers, asked for once in a run and server."""

    def __init__(self) -> None:
        self._by_server: dict[str, Mapping[str, _Definition]] = {}
        self._learning: dict[str, asyncio.Lock] = {}

    async def learn(self, server: str, session: ClientSession, seconds: float) -> None:
        """Ask `server` for its tools, if that was not done yet. Without an answer, nothing is known of them.

        That takes `seconds` at most, and never more than LIST_SECONDS.
        """
        if server in self._by_server:
            return
        # Calls that come meanwhile wait for the one list.
        async with self._learning.setdefault(server, asyncio.Lock()):
            if server not in self._by_server:
                self._by_server[server] = await _asked(server, session, min(seconds, LIST_SECONDS))

    def forget(self, server: str) -> None:
        """Ask again before the next call: the server has changed."""
        self._by_server.pop(server, None)

    def headers(self, server: str, tool: str, arguments: Mapping[str, Any]) -> Mapping[str, str]:
        """The headers that repeat arguments of a call, as the revision 2026-07-28 has them. Raises CallFailed."""
        found = self._by_server.get(server, {}).get(tool)
        if found and found.fault:
            message = f"the tool's definition is invalid, so it must not be called: {found.fault}"
            raise CallFailed(ErrorClass.PROTOCOL, wording.one_line(message), never_sent=True)
        return mcp_param_headers(found.headers, arguments) if found and found.headers else {}

    def check(self, server: str, tool: str, result: mcp_types.CallToolResult) -> None:
        """Raise CallFailed if the result is not what the tool declares."""
        found = self._by_server.get(server, {}).get(tool)
        if found is None or found.output_schema is None:
            return
        if "structured_content" not in result.model_fields_set:
            raise CallFailed(ErrorClass.SCHEMA, "the tool declares an output schema, but gave no structured content")
        fault = next(iter(found.validator.iter_errors(result.structured_content)), None)
        if fault is not None:
            place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fault.instance_path)
            words = wording.one_line(fault.message, 1024)
            raise CallFailed(ErrorClass.SCHEMA, f"the result breaks the tool's output schema at result{place}: {words}")


async def _asked(server: str, session: ClientSession, seconds: float) -> Mapping[str, _Definition]:
    try:
        async with asyncio.timeout(seconds):
            return await _listed(session)
    except (MCPError, ValidationError, RuntimeError, TimeoutError) as error:
        log.warning("the tools of server %s can't be listed, so results go unchecked", server)
        log.debug("listing the tools of server %s failed: %s", server, error)
        return {}


async def _listed(session: ClientSession) -> Mapping[str, _Definition]:
    found: dict[str, _Definition] = {}
    cursor: str | None = None
    for _ in range(PAGES):
        # Not by list_tools, which leaves out what is invalid without a word to us.
        request = mcp_types.ListToolsRequest(params=mcp_types.PaginatedRequestParams(cursor=cursor))
        page = await session.send_request(request, mcp_types.ListToolsResult)
        for tool in page.tools:
            fault = find_invalid_x_mcp_header(tool.input_schema)
            headers = {} if fault else x_mcp_header_map(tool.input_schema)
            found[tool.name] = _Definition(tool.output_schema, headers, fault)
        cursor = page.next_cursor
        if not cursor:
            break
    return found
