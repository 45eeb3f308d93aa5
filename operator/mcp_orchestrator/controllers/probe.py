"""Asks the gateways how their servers are. Called by controllers.servers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

import httpx
from pydantic import ValidationError

from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.api.mcpserver import GATEWAY_PORT, SERVICE_PORT, MCPServer

MAX_REPORT_BYTES = 8 * 1024 * 1024


class Unreachable(Exception):
    """No report could be had; the message says why."""


class Probe(Protocol):
    """Where a server's report comes from."""

    async def of_service(self, server: MCPServer) -> GatewayReport:
        """The report of a ready pod, by the Service. Raises Unreachable."""

    async def of_pod(self, pod: Mapping[str, Any]) -> GatewayReport:
        """The report of one pod, ready or not. Raises Unreachable."""


class HttpProbe:
    """Reads GET /status of the gateways over the cluster's network."""

    def __init__(self, timeout_seconds: float = 5.0) -> None:
        self._timeout_seconds = timeout_seconds
        headers = {"Accept-Encoding": "identity"}
        self._client = httpx.AsyncClient(headers=headers, timeout=timeout_seconds, trust_env=False)

    async def of_service(self, server: MCPServer) -> GatewayReport:
        """The report of a ready pod, by the Service. Raises Unreachable."""
        host = f"{server.metadata.name}.{server.metadata.namespace}.svc"
        return await self._report(f"http://{host}:{SERVICE_PORT}/status")

    async def of_pod(self, pod: Mapping[str, Any]) -> GatewayReport:
        """The report of one pod, ready or not. Raises Unreachable."""
        address = pod.get("status", {}).get("podIP")
        if not address:
            raise Unreachable("the pod has no address yet")
        host = f"[{address}]" if ":" in address else address
        return await self._report(f"http://{host}:{GATEWAY_PORT}/status")

    async def close(self) -> None:
        """End the connections."""
        await self._client.aclose()

    async def _report(self, url: str) -> GatewayReport:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return GatewayReport.model_validate_json(await self._fetch(url))
        except TimeoutError as error:
            raise Unreachable(f"{url} gave no report within {self._timeout_seconds:.0f} s") from error
        except httpx.HTTPError as error:
            words = str(error) or type(error).__name__
            raise Unreachable(f"{url} gave no report: {words}") from error
        except ValidationError as error:
            raise Unreachable(f"{url} answered something that is no gateway's report") from error

    async def _fetch(self, url: str) -> bytes:
        """The answer's body. What answers may be anybody's container: it gets neither our time nor our memory."""
        body = bytearray()
        async with self._client.stream("GET", url) as response:
            response.raise_for_status()
            # Not unpacked, whatever it says: out of one compressed chunk could come more than we have.
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_REPORT_BYTES:
                    raise Unreachable(f"{url} answered more than {MAX_REPORT_BYTES} bytes, too much for a report")
        return bytes(body)
