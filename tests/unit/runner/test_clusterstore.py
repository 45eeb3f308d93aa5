"""What the cache's store in the cluster says when the API server does not do what it is asked to."""

from __future__ import annotations

import pytest
from tests.unit.cluster.scripted_server import Answer, scripted, status, text

from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache import clusterstore
from mcp_orchestrator.runner.cache.clusterstore import ClusterStore
from mcp_orchestrator.runner.cache.sharing import StoreFailed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param(status(404, "NotFound", "page not found"), "not found: the cluster has no kind", id="no CRD"),
        pytest.param(status(403, "Forbidden", "exceeded quota"), "quota: check the rights of .*, and the", id="full"),
        pytest.param(text("<html>Please log in</html>"), "something else than the API server", id="no API server"),
    ],
)
async def test_a_store_that_fails_says_why_and_what_to_do(answer: Answer, words: str) -> None:
    missing = status(404, "NotFound", "not there")
    async with scripted(missing, answer) as server, clusterstore.client(Connection(server.url)) as client:
        store = ClusterStore(client, "n", "run")
        assert await store.get("1") is None
        with pytest.raises(StoreFailed, match=words):
            await store.lock("1", 30)
