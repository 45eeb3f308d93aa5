"""Watches against a real HTTP server that follows a script."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from aiohttp import web
from tests.unit.cluster.scripted_server import Answer, disconnect, scripted, status, text

from mcp_orchestrator.cluster import config, errors, resources, watch
from mcp_orchestrator.cluster.client import Client

Json = dict[str, Any]


def an_event(type_: str, version: int, **spec: Any) -> Json:
    return {"type": type_, "object": {"metadata": {"name": "a", "resourceVersion": str(version)}, **spec}}


def lines(*events: Json) -> str:
    return "".join(orjson.dumps(event).decode() + "\n" for event in events)


GONE = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}}


def in_pieces(content: bytes, size: int) -> Answer:
    """The content as a network may cut it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for start in range(0, len(content), size):
            await response.write(content[start : start + size])
        return response

    return answer


async def told(*answers: Answer, **selection: str) -> tuple[list[tuple[str, str]], dict[str, str]]:
    async with scripted(*answers) as server, Client(config.Connection(server.url)) as client:
        found = watch.changes(client, resources.JOBS, "team", since="7", **selection)
        seen = [(str(change.type), change.version) async for change in found]
        return seen, server.received[0].query


async def stay_open(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(lines(an_event("ADDED", 8)).encode())
    await asyncio.Event().wait()
    return response


async def test_a_watch_that_falls_silent_ends_as_one_that_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SILENCE_SECONDS", 0.05)
    assert (await told(stay_open))[0] == [("ADDED", "8")]


async def test_a_watch_tells_each_change_from_a_version_on() -> None:
    events = an_event("ADDED", 8), an_event("MODIFIED", 9), an_event("BOOKMARK", 12), an_event("DELETED", 13)
    seen, query = await told(text(lines(*events)), label_selector="x", field_selector="y")
    assert seen == [("ADDED", "8"), ("MODIFIED", "9"), ("BOOKMARK", "12"), ("DELETED", "13")]
    assert query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "7",
        "timeoutSeconds": "600",
        "labelSelector": "x",
        "fieldSelector": "y",
    }


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_the_network_may_cut_changes_anywhere_and_they_may_be_long(size: int) -> None:
    payload = "x" * (300_000 if size > 7 else 300)
    events = an_event("ADDED", 8, spec=payload), an_event("ADDED", 9, spec="\u00e9\u2028")
    assert (await told(in_pieces(lines(*events).encode(), size)))[0] == [("ADDED", "8"), ("ADDED", "9")]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(text(lines(an_event("ADDED", 8), GONE)), errors.Expired, id="the-version-is-forgotten-meanwhile"),
        pytest.param(status(410, "Expired"), errors.Expired, id="the-version-is-forgotten"),
        pytest.param(status(403, "Forbidden"), errors.Forbidden, id="no-right-to-watch"),
        pytest.param(status(429), errors.Unavailable, id="too-many-requests"),
        pytest.param(disconnect, errors.Unavailable, id="the-connection-breaks"),
        pytest.param(text('{"type": "ADD'), None, id="the-last-line-is-cut"),
        pytest.param(text("<html>Please log in</html>\n"), errors.Unavailable, id="no-api-server"),
        pytest.param(text(lines({"type": "NEWS", "object": {}})), errors.Unavailable, id="a-change-of-no-known-type"),
    ],
)
async def test_what_ends_a_watch_is_an_error_of_ours(answer: Answer, error: type[Exception] | None) -> None:
    if error is None:
        assert (await told(answer))[0] == []
        return
    with pytest.raises(error):
        await told(answer)
