"""The cache of one run, if it has one: as the run, its workflows and the environment say. Called by `main`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from mcp_orchestrator import settings
from mcp_orchestrator.api.cache import CacheMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache.sharing import Cache, Store, StoreFailed

log = logging.getLogger(__name__)

URL, KEY, CERTIFICATES = (f"{settings.PREFIX}CACHE_{name}" for name in ("URL", "KEY", "CA"))
NO_STORE = "no answers are kept in the cluster (cache.maxAnswers is 0), and the Secret of the cache has no url"


@asynccontextmanager
async def of_run(run: WorkflowRun, environ: Mapping[str, str], connection: Connection) -> AsyncIterator[Cache | None]:
    """The run's cache; None where there is none, or nothing that would be in it."""
    if run.spec.cache == CacheMode.BYPASS or not _asks(run):
        yield None
        return
    async with AsyncExitStack() as stack:
        cache = None
        try:
            store = await _store(run, environ, connection, stack)
            secret = environ.get(KEY, "").encode()
            cache = Cache(store, run.metadata.namespace, secret, refresh=run.spec.cache == CacheMode.REFRESH)
        except StoreFailed as failed:
            log.warning("there is no cache: %s", failed)
        yield cache


async def _store(run: WorkflowRun, environ: Mapping[str, str], connection: Connection, stack: AsyncExitStack) -> Store:
    """Redis or Valkey where the Secret says so, else the cluster. Raises StoreFailed."""
    namespace = run.metadata.namespace
    if url := environ.get(URL, "").strip():
        # Imported here: the client takes a third of a second.
        from mcp_orchestrator.runner.cache import redisstore

        return await stack.enter_async_context(redisstore.RedisStore(url, namespace, environ.get(CERTIFICATES, "")))
    if not settings.read(environ).cache_max_answers:
        raise StoreFailed(NO_STORE)
    from mcp_orchestrator.runner.cache import clusterstore

    client = await stack.enter_async_context(clusterstore.client(connection))
    return clusterstore.ClusterStore(client, namespace, run.metadata.name)


def _asks(run: WorkflowRun) -> bool:
    """Whether any workflow of the run says cache."""
    template = run.status.template
    workflows = (template.spec, *(nested.spec for nested in template.nested)) if template else ()
    return any(workflow.cache or any(task.cache for task in workflow.every_task) for workflow in workflows)
