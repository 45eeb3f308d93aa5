"""Runs the gateway as the process that it is, and asks it over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from tests.waiting import PATIENCE_SECONDS, eventually

SERVERS = Path(__file__).parents[2] / "servers"
PROGRAM = "import sys; from mcp_orchestrator.gateway import main; sys.exit(main.run())"


def stdio(script: str, *args: str) -> dict[str, Any]:
    """The source of a test server that speaks on standard input and output."""
    return {"stdio": {"command": sys.executable, "args": [str(SERVERS / script), *args]}}


@dataclass
class Gateway:
    """A running gateway."""

    process: asyncio.subprocess.Process
    port: int = 0
    lines: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_SECONDS)

    async def status(self) -> dict[str, Any]:
        response = await self.get("/status")
        assert response.status_code == 200
        report: dict[str, Any] = response.json()
        return report

    async def status_when(self, what: str, holds: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        async def check() -> dict[str, Any] | None:
            report = await self.status()
            return report if holds(report) else None

        found: dict[str, Any] = await eventually(what, check)
        return found

    async def ready(self) -> dict[str, Any]:
        return await self.status_when("a good check", lambda report: report["ok"])

    async def failed(self, kind: str = "") -> dict[str, Any]:
        """The report of a failed check, with an error of that class or of any."""

        def holds(report: dict[str, Any]) -> bool:
            return bool(report["error"]) and kind in ("", report["error"]["class"])

        return await self.status_when(f"a failed check {kind}", holds)

    async def metric(self, name: str, **labels: str) -> float:
        pairs = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        want = f"{name}{{{pairs}}} "
        for line in (await self.get("/metrics")).text.splitlines():
            if line.startswith(want):
                return float(line.rpartition(" ")[2])
        return 0.0

    def log(self) -> str:
        return "\n".join(self.lines)


@asynccontextmanager
async def run_gateway(config: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> AsyncIterator[Gateway]:
    whole = {"name": "demo", "namespace": "default", "host": "127.0.0.1", "port": 0, **config}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={**os.environ, **(environ or {}), "MCP_ORCHESTRATOR_GATEWAY": json.dumps(whole)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=1 << 20,
    )
    gateway = Gateway(process)
    listening = asyncio.Event()

    async def read() -> None:
        assert process.stdout is not None
        async for raw in process.stdout:
            line = raw.decode().rstrip()
            gateway.lines.append(line)
            if '"listening"' in line:
                gateway.port = json.loads(line)["port"]
                listening.set()
        listening.set()

    reader = asyncio.create_task(read())
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await listening.wait()
        assert gateway.port, gateway.log()
        yield gateway
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await process.wait()
            await reader
