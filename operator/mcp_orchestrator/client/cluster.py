"""The cluster as a command sees it: one connection, one namespace, and errors in words. Used by the commands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.cluster import config, errors, resources
from mcp_orchestrator.cluster.client import Client


@dataclass(frozen=True, slots=True)
class Access:
    """What every command on a cluster is told: which cluster, and which namespace of it."""

    namespace: str = ""
    kubeconfig: str = ""
    context: str = ""

    def connection(self) -> config.Connection:
        """The connection. Raises Failed."""
        try:
            if self.kubeconfig or self.context:
                paths = (Path(self.kubeconfig),) if self.kubeconfig else config.kubeconfigs()
                found = config.from_kubeconfig(paths, self.context or None)
            else:
                found = config.load()
        except config.ConfigError as error:
            raise Failed(str(error), Exit.UNREACHABLE) from error
        return replace(found, namespace=self.namespace or found.namespace)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A namespace of a cluster."""

    client: Client
    namespace: str

    async def body(self, name: str) -> dict[str, Any]:
        """The run of that name, as the API server has it. Raises Failed."""
        try:
            return await self.client.get(resources.WORKFLOW_RUNS, name, self.namespace)
        except errors.NotFound as error:
            raise self.no_run(name) from error

    async def run(self, name: str) -> WorkflowRun:
        """The run of that name. Raises Failed."""
        return readable(await self.body(name))

    def no_run(self, name: str) -> Failed:
        """There is no run of that name."""
        message = f'there is no run "{name}" in namespace {self.namespace}'
        return Failed(f"{message}: mcp-orchestrator list -n {self.namespace}", Exit.GONE)

    def no_template(self, name: str) -> Failed:
        """There is no template of that name."""
        message = f'there is no template "{name}" in namespace {self.namespace}'
        return Failed(f"{message}: kubectl get mtpl -n {self.namespace}", Exit.GONE)


def readable(body: dict[str, Any]) -> WorkflowRun:
    """The run that the API server gave. Raises Failed."""
    found = read(WorkflowRun, body)
    if isinstance(found, Unreadable):
        raise Failed(f'run "{body["metadata"]["name"]}" can\'t be read: {found.message}')
    return found


@asynccontextmanager
async def opened(access: Access) -> AsyncIterator[Cluster]:
    """The cluster, until the command is done. What the API server refuses becomes Failed."""
    connection = access.connection()
    try:
        async with Client(connection, pool_limit=8) as client:
            yield Cluster(client, connection.namespace)
    except errors.Forbidden as error:
        raise Failed(f"the cluster does not allow it: {error}", Exit.UNREACHABLE) from error
    except errors.Unavailable as error:
        raise Failed(f"the cluster at {connection.server} does not answer: {error}", Exit.UNREACHABLE) from error
    except errors.ApiError as error:
        raise Failed(f"the cluster refused: {error}") from error
