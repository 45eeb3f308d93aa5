"""The operator's HTTP server: /livez and /readyz for the kubelet, /healthz for people, /metrics for Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry

from mcp_orchestrator import telemetry

HEARTBEAT_SECONDS: Final = 1.0
STALLED_SECONDS: Final = 15.0
MEMORY_LIMIT: Final = Path("/sys/fs/cgroup/memory.max")
MEMORY_TIGHT: Final = 0.9

Check: TypeAlias = Callable[[], str | None]
"""None if all is well, else what is wrong, in a sentence."""


class Condition(StrEnum):
    """How a part does, from best to worst."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, slots=True)
class Report:
    """How a part of the product does, and why."""

    condition: Condition
    message: str = ""


class Health:
    """The checks of one process. A check is called on each request: it must be quick, and may not block."""

    def __init__(self, registry: CollectorRegistry = telemetry.OPERATOR) -> None:
        self._registry = registry
        self._liveness: dict[str, Check] = {}
        self._readiness: dict[str, Check] = {}
        self._reports: dict[str, Callable[[], Report]] = {"system_resources": system_resources}
        self._late_seconds = 0.0

    def add_liveness(self, name: str, check: Check) -> None:
        """Have /livez fail, and the kubelet restart the process, while `check` gives a text."""
        self._liveness[name] = check

    def add_readiness(self, name: str, check: Check) -> None:
        """Have /readyz fail while `check` gives a text."""
        self._readiness[name] = check

    def add_report(self, name: str, report: Callable[[], Report]) -> None:
        """Have /healthz tell of a part."""
        self._reports[name] = report

    async def heartbeat(self) -> None:
        """Measure how late the event loop is, until cancelled; `serve` runs it."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + HEARTBEAT_SECONDS
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._late_seconds = max(0.0, loop.time() - due)
            telemetry.EVENT_LOOP_LAG.set(self._late_seconds)

    def application(self) -> web.Application:
        """The routes."""
        application = web.Application()
        application.router.add_get("/livez", self._livez)
        application.router.add_get("/readyz", self._readyz)
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/metrics", self._metrics)
        return application

    async def _livez(self, _: web.Request) -> web.Response:
        return _answer({"event loop": self._event_loop, **self._liveness})

    async def _readyz(self, _: web.Request) -> web.Response:
        return _answer(self._readiness)

    async def _healthz(self, _: web.Request) -> web.Response:
        reports = {name: report() for name, report in self._reports.items()}
        worst = max((report.condition for report in reports.values()), key=list(Condition).index)
        checks = {name: {"status": report.condition, "message": report.message} for name, report in reports.items()}
        status = 503 if worst is Condition.UNHEALTHY else 200
        body = orjson.dumps({"status": worst, "checks": checks})
        return web.Response(body=body, content_type="application/json", status=status)

    async def _metrics(self, request: web.Request) -> web.Response:
        body, content_type = telemetry.scrape(self._registry, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    def _event_loop(self) -> str | None:
        late = self._late_seconds
        return f"its last heartbeat was {late:.0f} s late" if late > STALLED_SECONDS else None


@contextlib.asynccontextmanager
async def serve(health: Health, port: int, host: str | None = None) -> AsyncIterator[int]:
    """Serve on `port` (0: any that is free) of `host` (default: all addresses); gives the port."""
    runner = web.AppRunner(health.application(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    heartbeat = asyncio.create_task(health.heartbeat())
    try:
        await web.TCPSite(runner, host, port).start()
        yield runner.addresses[0][1]
    finally:
        heartbeat.cancel()
        await runner.cleanup()


def system_resources() -> Report:
    """How much of its memory limit this process takes."""
    used = telemetry.resident_bytes()
    limit = _memory_limit_bytes()
    if limit and used > MEMORY_TIGHT * limit:
        return Report(Condition.DEGRADED, f"{used >> 20} MiB of the {limit >> 20} MiB limit are in use: raise it")
    return Report(Condition.HEALTHY, f"{used >> 20} MiB of memory are in use")


def _memory_limit_bytes() -> int:
    """The container's limit; 0 if there is none."""
    try:
        text = MEMORY_LIMIT.read_text(encoding="ascii").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0


def _answer(checks: Mapping[str, Check]) -> web.Response:
    """In the API server's own style: a line for each check, 503 if one of them fails."""
    results = {name: check() for name, check in checks.items()}
    lines = [f"[+]{name} ok" if wrong is None else f"[-]{name} failed: {wrong}" for name, wrong in results.items()]
    status = 200 if all(wrong is None for wrong in results.values()) else 503
    return web.Response(text="\n".join([*lines, "ok" if status == 200 else "failed", ""]), status=status)
