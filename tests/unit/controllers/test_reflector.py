"""A reflector, against a real HTTP server that follows a script."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from aiohttp import web
from tests.unit.cluster.scripted_server import Answer, ok, scripted, status, text
from tests.unit.cluster.test_watch import GONE, lines

from mcp_orchestrator.cluster import config, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records, reflector
from mcp_orchestrator.controllers.reflector import Reflector
from mcp_orchestrator.controllers.store import Store

Json = dict[str, Any]


def a_job(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "namespace": "team", "uid": name, "resourceVersion": str(version)}}


def a_list(version: int, *jobs: Json) -> Answer:
    return ok({"metadata": {"resourceVersion": str(version)}, "items": list(jobs)})


def changes(*told: tuple[str, Json]) -> Answer:
    return text(lines(*({"type": type_, "object": job} for type_, job in told)))


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflector, "RECONNECT_SECONDS", 0.0)
    monkeypatch.setattr(reflector, "RETRY_SECONDS", 0.0)


async def follow(*answers: Answer) -> tuple[Store, list[str]]:
    """What the store has once all answers are given, and the version that each request asked for."""
    over = asyncio.Event()

    async def the_end(_: web.Request) -> web.StreamResponse:
        over.set()
        await asyncio.Event().wait()
        return web.Response()

    store = records.new_store()
    async with scripted(*answers, the_end) as server, Client(config.Connection(server.url)) as client:
        subject = Reflector(client, store, resources.JOBS, namespace="team", label_selector="ours")
        await subject.list()
        task = asyncio.create_task(subject.run())
        await over.wait()
        task.cancel()
        assert {request.query["labelSelector"] for request in server.received} == {"ours"}
        return store, [request.query.get("resourceVersion", "list") for request in server.received]


def names(store: Store) -> list[str]:
    return [key.name for key in store.keys(records.JOB)]


async def test_the_store_has_what_was_listed_and_what_has_changed_since() -> None:
    first = changes(("ADDED", a_job("new", 6)), ("DELETED", a_job("gone", 7)))
    second = changes(("MODIFIED", a_job("kept", 8)), ("BOOKMARK", a_job("", 9)))
    store, asked = await follow(a_list(5, a_job("kept", 1), a_job("gone", 2)), first, second)
    assert names(store) == ["kept", "new"]
    assert asked == ["list", "5", "7", "9"]


@pytest.mark.parametrize("forgotten", [text(lines(GONE)), status(410, "Expired")], ids=["meanwhile", "at-once"])
async def test_what_was_missed_is_seen_by_another_list(forgotten: Answer) -> None:
    listed = a_list(5, a_job("kept", 1), a_job("gone", 2)), a_list(20, a_job("kept", 1), a_job("new", 15))
    store, asked = await follow(listed[0], forgotten, listed[1])
    assert names(store) == ["kept", "new"]
    assert asked == ["list", "5", "list", "20"]


async def test_a_watch_that_fails_goes_on_from_where_it_was(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    store, asked = await follow(a_list(5), changes(("ADDED", a_job("a", 6))), status(503), changes())
    assert names(store) == ["a"]
    assert asked == ["list", "5", "6", "6", "6"]
    (told,) = caplog.messages
    assert told.startswith("the watch of jobs in namespace team begins again: ")


async def test_a_trouble_that_lasts_is_said_once_a_minute_and_another_at_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.WARNING)
    troubles = status(503, message="away"), status(503, message="away"), status(403, message="no right")
    await follow(a_list(5), *troubles)
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["away", "no right"]
    caplog.clear()
    monkeypatch.setattr(reflector, "SAY_AGAIN_SECONDS", 0.0)
    await follow(a_list(5), *troubles)
    assert [message.rpartition(": ")[2] for message in caplog.messages] == ["away", "away", "no right"]
