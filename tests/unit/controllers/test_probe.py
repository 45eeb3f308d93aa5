"""Gateways' reports, as anybody's container may give them."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import web

from mcp_orchestrator.api.gatewayreport import GatewayReport
from mcp_orchestrator.controllers import probe

REPORT = b'{"ok": true}'


async def report_of(monkeypatch: pytest.MonkeyPatch, body: bytes, **headers: str) -> GatewayReport:
    """What is read of a pod that answers so."""

    async def status(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    application = web.Application()
    application.router.add_get("/status", status)
    runner = web.AppRunner(application)
    await runner.setup()
    subject = probe.HttpProbe()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        monkeypatch.setattr(probe, "GATEWAY_PORT", runner.addresses[0][1])
        return await subject.of_pod({"status": {"podIP": "127.0.0.1"}})
    finally:
        await subject.close()
        await runner.cleanup()


async def test_a_report_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await report_of(monkeypatch, REPORT)).ok


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        pytest.param(b"<html>", {}, "no gateway's report", id="something else"),
        pytest.param(b" " * (probe.MAX_REPORT_BYTES + 1), {}, "too much for a report", id="too long"),
        pytest.param(
            gzip.compress(REPORT),
            {"Content-Encoding": "gzip"},
            "no gateway's report",
            id="compressed: a thousand times as much could come out of it",
        ),
    ],
)
async def test_what_is_no_report_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, body: bytes, headers: dict[str, str], words: str
) -> None:
    with pytest.raises(probe.Unreachable, match=words):
        await report_of(monkeypatch, body, **headers)
