"""The operator's HTTP server, asked over HTTP."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from mcp_orchestrator import telemetry
from mcp_orchestrator.controllers import health
from mcp_orchestrator.controllers.health import Condition, Report


async def ask(subject: health.Health, path: str, **headers: str) -> tuple[int, str, str]:
    async with (
        health.serve(subject, 0, "127.0.0.1") as port,
        aiohttp.request("GET", f"http://127.0.0.1:{port}{path}", headers=headers) as response,
    ):
        return response.status, await response.text(), response.headers["Content-Type"]


@pytest.mark.parametrize(
    ("path", "wrong", "status", "text"),
    [
        pytest.param("/livez", None, 200, "[+]event loop ok\n[+]election ok\nok\n", id="alive"),
        pytest.param("/livez", "stuck", 503, "[+]event loop ok\n[-]election failed: stuck\nfailed\n", id="not-alive"),
        pytest.param("/readyz", None, 200, "[+]synced ok\nok\n", id="ready"),
        pytest.param(
            "/readyz", "lists are missing", 503, "[-]synced failed: lists are missing\nfailed\n", id="not-ready"
        ),
    ],
)
async def test_probes_name_each_check(path: str, wrong: str | None, status: int, text: str) -> None:
    subject = health.Health()
    subject.add_liveness("election", lambda: wrong)
    subject.add_readiness("synced", lambda: wrong)
    assert (await ask(subject, path))[:2] == (status, text)


@pytest.mark.parametrize(
    ("condition", "status"),
    [
        pytest.param(Condition.HEALTHY, 200, id="healthy"),
        pytest.param(Condition.DEGRADED, 200, id="degraded"),
        pytest.param(Condition.UNHEALTHY, 503, id="unhealthy"),
    ],
)
async def test_health_is_that_of_the_worst_part(condition: Condition, status: int) -> None:
    subject = health.Health()
    subject.add_report("mcp_servers", lambda: Report(condition, "1 of 2 servers answers"))
    subject.add_report("workflow_queue", lambda: Report(Condition.HEALTHY))
    answer = await ask(subject, "/healthz")
    assert answer[0] == status
    assert f'"status":"{condition}","checks"' in answer[1]
    assert f'"mcp_servers":{{"status":"{condition}","message":"1 of 2 servers answers"}}' in answer[1]


async def test_metrics_come_as_text_or_as_open_metrics() -> None:
    telemetry.ACTIVE_WORKFLOWS.set(3)
    status, text, content_type = await ask(health.Health(), "/metrics")
    assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert "mcp_orchestrator_active_workflows 3.0\n" in text
    _, text, content_type = await ask(health.Health(), "/metrics", Accept="application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("limit", "condition"),
    [
        pytest.param("max", Condition.HEALTHY, id="no-limit"),
        pytest.param(str(1 << 50), Condition.HEALTHY, id="room"),
        pytest.param("4096", Condition.DEGRADED, id="tight"),
    ],
)
def test_memory_near_its_limit_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, condition: Condition
) -> None:
    (tmp_path / "memory.max").write_text(limit + "\n")
    monkeypatch.setattr(health, "MEMORY_LIMIT", tmp_path / "memory.max")
    report = health.system_resources()
    assert report.condition is condition
    assert "MiB" in report.message
