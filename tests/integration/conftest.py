"""A real API server with simulated nodes, our CRDs, and a namespace of its own for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mcp_orchestrator.cluster import config, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from tests import cluster


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The kubeconfig of the test cluster, our CRDs installed."""
    path = cluster.kubeconfig("test", "fake")
    cluster.kubectl(path, "apply", "--server-side", "--force-conflicts", "-f", str(cluster.ROOT / "crds"))
    cluster.kubectl(path, "wait", "--for=condition=Established", "--timeout=30s", "crd", "-l", "!none")
    return path


@pytest.fixture
def connection(kubeconfig: Path) -> Connection:
    """The way to the test cluster."""
    return config.load({"KUBECONFIG": str(kubeconfig)})


@pytest_asyncio.fixture
async def client(connection: Connection) -> AsyncIterator[Client]:
    """A client with all rights."""
    async with Client(connection) as opened:
        yield opened


@pytest_asyncio.fixture
async def namespace(client: Client) -> AsyncIterator[str]:
    """A new namespace, deleted after the test."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    await client.create(resources.NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    await client.delete(resources.NAMESPACES, name)
