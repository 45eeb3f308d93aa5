"""A namespace of the bench's cluster with what a scenario needs in it: the operator, runners, and their record."""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import aiohttp

from bench.load import audit, processes, workload
from bench.load.audit import AuditLog
from bench.load.checks import Ledger, Limit, Step, over_limit, overtaken, unannounced
from bench.load.cluster import Cluster
from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.cluster import config, resources
from mcp_orchestrator.cluster.client import Client

OPERATOR = "mcp-orchestrator"
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 900.0
READY_SECONDS = 60.0
REST_SECONDS = 3.0
REST_PERCENT = 30.0
"""Of one core, for all of the control plane: with nothing to do it takes about 10."""
Process = subprocess.Popen[bytes]


class TooSlow(Exception):
    """What was waited for did not come; the message says what."""


@dataclass
class Stage:
    """One namespace, and all that was asked of the API server about it since the stage was set."""

    cluster: Cluster
    client: Client
    namespace: str
    logs: Path
    ledger: Ledger = field(default_factory=lambda: Ledger(OPERATOR))
    limits: list[Limit] = field(default_factory=list)
    priorities: dict[str, Priority] = field(default_factory=dict)
    """Those of all runs that were submitted."""
    log: AuditLog = field(init=False)

    def __post_init__(self) -> None:
        self.log = AuditLog(self.cluster.audit_log)

    @asynccontextmanager
    async def operator(self, limit: int) -> AsyncIterator[Process]:
        """The operator at work on this namespace, with its server and template ready."""
        port = processes.free_port()
        environment = {
            "KUBECONFIG": str(self.cluster.kubeconfig),
            "MCP_ORCHESTRATOR_LIMITS_FILE": str(self._limits_file),
            "MCP_ORCHESTRATOR_WATCH_NAMESPACES": self.namespace,
            "MCP_ORCHESTRATOR_NAMESPACE": self.namespace,
            "MCP_ORCHESTRATOR_LEADER_ELECT": "false",
            "MCP_ORCHESTRATOR_HTTP_PORT": str(port),
        }
        self.set_limit(limit)
        with processes.running("subject", environment, self.logs / "operator.log") as process:
            await self._wait(partial(_is_up, port), "the operator is ready", READY_SECONDS)
            await self._wait(self._can_run, "the template is ready", READY_SECONDS)
            yield process

    def set_limit(self, limit: int) -> None:
        """Let so many runs hold a slot from now on: the operator soon sees it."""
        self.limits.append(Limit(time.time(), limit))
        self._limits_file.write_text(f"maxConcurrentRuns: {limit}\n")

    @property
    def _limits_file(self) -> Path:
        return self.logs / f"{self.namespace}.yaml"

    @asynccontextmanager
    async def runners(self, seconds: float) -> AsyncIterator[Process]:
        """A runner for each run that starts, which takes so long."""
        environment = {"KUBECONFIG": str(self.cluster.kubeconfig)}
        log = self.logs / "runners.log"
        with processes.running("runners", environment, log, self.namespace, str(seconds)) as process:
            yield process

    async def rest(self) -> None:
        """Wait until the control plane has done what earlier scenarios left to it, such as pods for Jobs.

        Raises TooSlow.
        """

        async def is_at_rest() -> bool:
            before = [(pid, processes.usage(pid)) for pid in self.cluster.processes.values()]
            await asyncio.sleep(REST_SECONDS)
            return sum(processes.usage(pid).cpu_percent_since(then) for pid, then in before) < REST_PERCENT

        await self._wait(is_at_rest, "the control plane is at rest", PATIENCE_SECONDS)

    async def submit(self, names: list[str], per_second: float = 0) -> None:
        """Create runs, of mixed priorities."""
        mixed = workload.priorities(names)
        self.priorities |= mixed
        await workload.submit(self.client, self.namespace, names, per_second=per_second, mixed=mixed)

    def look(self) -> None:
        """Take in what the audit log has to tell."""
        self.ledger.take(audit.of_namespace(self.log.news(), self.namespace))

    async def until(self, step: Step, runs: int) -> None:
        """Wait until so many runs have taken a step. Raises TooSlow."""
        await self.until_true(lambda: len(self.ledger.first[step]) >= runs, f"{runs} runs {step.name.lower()}")

    async def until_true(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for what the audit log tells. Raises TooSlow."""

        async def check() -> bool:
            self.look()
            return holds()

        await self._wait(check, what, PATIENCE_SECONDS)

    def violations(self) -> list[str]:
        """What the operator did that it must not do."""
        steps = self.ledger.steps()
        return [
            *over_limit(steps, self.limits),
            *unannounced(steps),
            *overtaken(steps, self.limits, self.priorities),
        ]

    async def _can_run(self) -> bool:
        template = await self.client.get(resources.WORKFLOW_TEMPLATES, "clock", self.namespace)
        found = template.get("status", {}).get("conditions", ())
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in found)

    async def _wait(self, check: Callable[[], Awaitable[bool]], what: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await check():  # noqa: ASYNC110 - another process can only be asked again
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError as error:
            raise TooSlow(f"{what}: not within {seconds:.0f} s, see {self.logs}") from error


@asynccontextmanager
async def prepared(cluster: Cluster, namespace: str, logs: Path) -> AsyncIterator[Stage]:
    """A stage with a server and a template."""
    connection = config.load({"KUBECONFIG": str(cluster.kubeconfig)})
    async with Client(replace(connection, headers={"User-Agent": "bench"})) as client:
        stage = Stage(cluster, client, namespace, logs)
        await stage.rest()
        await workload.prepare(client, namespace)
        yield stage


async def _is_up(port: int) -> bool:
    """Whether the operator's store is filled."""
    try:
        async with aiohttp.request("GET", f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientConnectorError:
        return False
