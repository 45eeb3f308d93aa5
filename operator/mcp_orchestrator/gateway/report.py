"""The answer of /status: what the last check of the server found. Built by gateway.health, read by the operator."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import mcp_types

from mcp_orchestrator.api import moments
from mcp_orchestrator.gateway.failures import Failure


@dataclass(frozen=True, slots=True)
class Findings:
    """What a server that answered said of itself."""

    name: str
    version: str
    protocol_version: str
    tools: tuple[dict[str, Any], ...]
    tools_digest: str


@dataclass(frozen=True, slots=True)
class Exit:
    """How the server's process ended while it was needed."""

    at: datetime
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """The state of the server as of the last check. `findings` are the last known ones while it fails."""

    starting: bool = True
    ok: bool = False
    checked_at: datetime | None = None
    response_time_milliseconds: int = 0
    consecutive_failures: int = 0
    restarts: int = 0
    findings: Findings | None = None
    failure: Failure | None = None

    def wire(self, last_exit: Exit | None = None, last_lines: str = "") -> dict[str, Any]:
        """The report as JSON, with what the process told since."""
        found = self.findings
        return {
            "ok": self.ok,
            "starting": self.starting,
            "checkedAt": moments.written(self.checked_at) if self.checked_at else None,
            "responseTimeMilliseconds": self.response_time_milliseconds,
            "consecutiveFailures": self.consecutive_failures,
            "restarts": self.restarts,
            "serverInfo": {"name": found.name, "version": found.version} if found else None,
            "protocolVersion": found.protocol_version if found else None,
            "tools": list(found.tools) if found else [],
            "toolsDigest": found.tools_digest if found else None,
            "error": {"class": self.failure.failure_class.value, "message": self.failure.message}
            if self.failure
            else None,
            "lastExit": {"at": moments.written(last_exit.at), "message": last_exit.message} if last_exit else None,
            "lastLines": last_lines,
        }


def findings(
    server: mcp_types.Implementation | None, protocol_version: str | None, tools: Iterable[mcp_types.Tool]
) -> Findings:
    """What to report of a server that introduced itself as `server` and listed `tools`."""
    definitions = sorted((_definition(tool) for tool in tools), key=lambda definition: str(definition["name"]))
    return Findings(
        name=server.name if server else "",
        version=server.version if server else "",
        protocol_version=protocol_version or "",
        tools=tuple(_entry(definition) for definition in definitions),
        tools_digest=digest(definitions),
    )


def digest(value: Any) -> str:
    """SHA-256 over the canonical JSON of `value`: keys sorted, no spaces, UTF-8."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _definition(tool: mcp_types.Tool) -> dict[str, Any]:
    hints = tool.annotations
    fields = {
        "name": tool.name,
        "title": tool.title,
        "description": tool.description,
        "inputSchema": tool.input_schema,
        "outputSchema": tool.output_schema,
        "annotations": hints.model_dump(by_alias=True, mode="json", exclude_none=True) if hints else None,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _entry(definition: dict[str, Any]) -> dict[str, Any]:
    hints = definition.get("annotations", {})
    entry = {name: value for name, value in definition.items() if name != "annotations"}
    return entry | {
        "readOnly": hints.get("readOnlyHint"),
        "idempotent": hints.get("idempotentHint"),
        "destructive": hints.get("destructiveHint"),
        "digest": digest(definition),
    }
