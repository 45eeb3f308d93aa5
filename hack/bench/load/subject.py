"""The operator as it is measured: its own program, but for the gateways' reports, since fake nodes run no gateways.

A process of its own: `python -m bench.load.subject`, with the operator's variables.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import Any

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.cluster import config
from mcp_orchestrator.controllers import operator
from mcp_orchestrator.controllers.probe import Unreachable

REPORT = {
    "ok": True,
    "responseTimeMilliseconds": 3,
    "serverInfo": {"name": "time", "version": "1"},
    "protocolVersion": "2026-07-28",
    "tools": [
        {
            "name": "get_current_time",
            "digest": "sha256:1",
            "inputSchema": {"type": "object", "properties": {"timezone": {"type": "string"}}},
        }
    ],
    "toolsDigest": "sha256:2",
}


class Healthy:
    """Every server is well and has one tool."""

    async def of_service(self, server: MCPServer) -> GatewayReport:
        """The same report for each."""
        return GatewayReport.model_validate(REPORT)

    async def of_pod(self, pod: Mapping[str, Any]) -> GatewayReport:
        """Raises Unreachable: fake nodes have no network."""
        raise Unreachable("fake nodes have no network")


def main() -> None:
    """Run the operator until it is asked to end."""
    chosen = settings.read(os.environ)
    telemetry.set_up_logging(chosen.log_level, json=chosen.mode == "production")
    asyncio.run(operator.serve(chosen, config.load(), probe=Healthy()))


if __name__ == "__main__":
    main()
