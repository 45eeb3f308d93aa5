"""What tests of the runner share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.integration.runner import bucket, faulty_http
from tests.integration.runner.bucket import Bucket
from tests.integration.runner.calling import real_server
from tests.integration.runner.faulty_http import Faulty
from tests.integration.runner.scene import Scene

from mcp_orchestrator.cluster.client import Client


@pytest.fixture
def scene(client: Client, namespace: str, kubeconfig: Path, tmp_path: Path) -> Scene:
    """The test's namespace."""
    return Scene(client, namespace, kubeconfig, tmp_path)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Bucket]:
    """The bucket of an S3 server of the test's own."""
    async with bucket.serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a real MCP server."""
    with real_server() as url:
        yield url


@pytest_asyncio.fixture
async def faulty() -> AsyncIterator[Faulty]:
    """A server that misbehaves as it is asked to, of the test's own."""
    async with faulty_http.serving() as running:
        yield running
