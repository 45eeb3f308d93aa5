"""Following one object, against a real HTTP server that follows a script."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cluster.scripted_server import Answer, ok, scripted, status, text
from tests.unit.cluster.test_watch import GONE, lines

from mcp_orchestrator.cluster import config, following, resources
from mcp_orchestrator.cluster.client import Client


def a_run(version: int, uid: str = "u") -> dict[str, Any]:
    return {"metadata": {"name": "a", "namespace": "team", "uid": uid, "resourceVersion": str(version)}}


def news(*versions: int) -> Answer:
    return text(lines(*({"type": "MODIFIED", "object": a_run(version)} for version in versions)))


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "PAUSE_SECONDS", 0.0)


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([news(2, 3), ok(a_run(3))], id="the-watch-tells-them"),
        pytest.param([news(2), ok(a_run(3))], id="the-watch-ends-too-early"),
        pytest.param([text(lines(GONE)), ok(a_run(3))], id="the-version-is-forgotten"),
        pytest.param([status(403, "Forbidden"), ok(a_run(3))], id="no-right-to-watch"),
        pytest.param([status(503), news(3), ok(a_run(3))], id="the-api-server-is-away"),
    ],
)
async def test_the_states_go_on_whatever_becomes_of_the_watch(answers: list[Answer]) -> None:
    found = await versions(ok(a_run(1)), *answers, news(4), status(404, "NotFound"))
    assert found[0] == 1
    assert found[-2:] == [3, 4]


@pytest.mark.parametrize(
    "end",
    [
        pytest.param([text(lines({"type": "DELETED", "object": a_run(2)}))], id="it-is-deleted"),
        pytest.param([news(), status(404, "NotFound")], id="it-was-deleted-unseen"),
        pytest.param([news(), ok(a_run(2, uid="other"))], id="another-has-its-name"),
    ],
)
async def test_the_states_end_with_the_object(end: list[Answer]) -> None:
    assert await versions(ok(a_run(1)), *end) == [1]


async def versions(*answers: Answer) -> list[int]:
    async with scripted(*answers) as server, Client(config.Connection(server.url)) as client:
        states = following.states(client, resources.WORKFLOW_RUNS, "a", "team")
        return [int(body["metadata"]["resourceVersion"]) async for body in states]
