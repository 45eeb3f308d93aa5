"""The runners' service account: made once for each namespace, however many runs start at the same time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from tests.builders import NOW

from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers.accounts import RENEW_AFTER, RunnerAccounts
from mcp_orchestrator.controllers.records import SERVER, new_store
from mcp_orchestrator.controllers.store import Key


class Applied:
    """What was applied; each apply takes a moment, so that others come in between."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def apply(self, resource: Resource, body: dict[str, Any], *, manager: str) -> dict[str, Any]:
        self.kinds.append(resource.kind)
        await asyncio.sleep(0)
        return body


async def test_runs_that_start_at_once_make_one_account() -> None:
    client = Applied()
    accounts = RunnerAccounts(client, new_store())
    await asyncio.gather(*(accounts.ensure("team", NOW) for _ in range(8)))
    assert client.kinds == ["ServiceAccount", "RoleBinding"]


async def test_an_account_is_made_again_in_a_namespace_that_was_made_anew() -> None:
    client, store = Applied(), new_store()
    accounts = RunnerAccounts(client, store)
    time = {"name": "time", "namespace": "team"}

    def seen(version: str, uid: str) -> None:
        store.upsert(SERVER, {"metadata": {**time, "uid": uid, "resourceVersion": version}, "spec": {}})

    seen("1", "first")
    for change, kinds in (
        (lambda: None, 4),
        (lambda: seen("2", "first"), 4),
        (lambda: seen("3", "second, without a word of the first one's end"), 6),
        (lambda: store.delete(Key(SERVER, "team", "time")), 8),
    ):
        change()
        await accounts.ensure("team", NOW)
        await accounts.ensure("other", NOW)
        assert len(client.kinds) == kinds


async def test_an_account_is_made_again_after_a_while_and_in_each_namespace() -> None:
    client = Applied()
    accounts = RunnerAccounts(client, new_store())
    for namespace, now in (("team", NOW), ("other", NOW), ("team", NOW + RENEW_AFTER - timedelta(seconds=1))):
        await accounts.ensure(namespace, now)
    assert len(client.kinds) == 4
    await accounts.ensure("team", NOW + RENEW_AFTER)
    assert len(client.kinds) == 6
