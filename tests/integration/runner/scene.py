"""A namespace of a real API server, and runners in it as the programs that they are. Used by the tests beside it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client

PATIENCE_SECONDS = 90.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@dataclass
class Runner:
    """A runner process."""

    process: asyncio.subprocess.Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def tells(self, words: str) -> None:
        """Read its log until a line that has the words."""
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self.process.stdout:
                self.lines.append(json.loads(line))
                if words in self.lines[-1]["message"]:
                    return
        raise AssertionError(f"the runner ended without a word of {words!r}")

    async def ended(self) -> int:
        """Read its log to the end; returns the exit code."""
        assert self.process.stdout
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for line in self.process.stdout:
                self.lines.append(json.loads(line))
            return await self.process.wait()


@dataclass
class Scene:
    """A namespace of a real API server, in which runs are admitted by hand."""

    client: Client
    namespace: str
    kubeconfig: Path
    directory: Path

    async def admit(
        self,
        servers: dict[str, str],
        workflow: dict[str, Any],
        name: str = "r",
        spec: dict[str, Any] | None = None,
        **status: Any,
    ) -> None:
        """Create a run and admit it, as the operator does."""
        metadata = {"name": name, "namespace": self.namespace}
        await self.client.create(
            resources.WORKFLOW_RUNS,
            {
                "apiVersion": "mcp-orchestrator.io/v1alpha1",
                "kind": "WorkflowRun",
                "metadata": metadata,
                "spec": {"template": workflow, "parameters": status.pop("parameters", {}), **(spec or {})},
            },
        )
        await self.allow(servers, workflow, name, **status)

    async def allow(self, servers: dict[str, str], workflow: dict[str, Any], name: str = "r", **status: Any) -> None:
        """Write the operator's part of a run's status."""
        known = [{"name": key, "url": url, "timeoutSeconds": 30} for key, url in servers.items()]
        admitted = {
            "phase": "Running",
            "admittedAt": "2026-01-02T03:04:05Z",
            "jobName": f"{name}-job",
            "attempt": 1,
            "template": {"digest": "sha256:0", "spec": workflow},
            "servers": known,
            "traceparent": TRACE,
        }
        body = {"metadata": {"name": name, "namespace": self.namespace}, "status": admitted | status}
        await self.client.apply_status(resources.WORKFLOW_RUNS, body, manager="mcp-orchestrator")

    async def order(self, name: str = "r", **spec: Any) -> None:
        """Change the run's spec, as a user does."""
        await self.client.merge(resources.WORKFLOW_RUNS, name, self.namespace, {"spec": spec}, manager="kubectl-edit")

    async def status(self, name: str = "r") -> dict[str, Any]:
        body = await self.client.get(resources.WORKFLOW_RUNS, name, self.namespace)
        found: dict[str, Any] = body["status"]
        return found

    @asynccontextmanager
    async def runner(self, name: str = "r", pod: str = "abcde", **environ: str) -> AsyncIterator[Runner]:
        own = {
            "KUBECONFIG": str(self.kubeconfig),
            "MCP_ORCHESTRATOR_RUN_NAME": name,
            "MCP_ORCHESTRATOR_RUN_NAMESPACE": self.namespace,
            "MCP_ORCHESTRATOR_POD_NAME": f"{name}-job-{pod}",
            "MCP_ORCHESTRATOR_POD_UID": f"uid-of-{pod}",
            "MCP_ORCHESTRATOR_TERMINATION_LOG": str(self.directory / "termination-log"),
            "TRACEPARENT": TRACE,
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", "mcp_orchestrator", "runner"),
            env={**os.environ, **own, **environ},
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield Runner(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    async def run(self, name: str = "r", **environ: str) -> tuple[int, dict[str, Any], Runner]:
        """Run to the end: exit code, status, and the process with its log."""
        async with self.runner(name, **environ) as runner:
            return await runner.ended(), await self.status(name), runner


def a_task(name: str, tool: str, arguments: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A task that calls a tool of server x."""
    return {"name": name, "server": "x", "tool": tool, "arguments": arguments or {}, **fields}
