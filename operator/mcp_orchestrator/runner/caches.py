"""The cache of one run, if it has one: as the run, its workflows and the environment say. Called by `main`."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from mcp_orchestrator.api.cache import CacheMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.runner.cache import Cache, StoreFailed
from mcp_orchestrator.settings import PREFIX

log = logging.getLogger(__name__)

URL, KEY, CERTIFICATES = f"{PREFIX}CACHE_URL", f"{PREFIX}CACHE_KEY", f"{PREFIX}CACHE_CA"


@asynccontextmanager
async def of_run(run: WorkflowRun, environ: Mapping[str, str]) -> AsyncIterator[Cache | None]:
    """The run's cache; None where there is none, or nothing that would be in it."""
    url = environ.get(URL, "").strip()
    if not url or run.spec.cache == CacheMode.BYPASS or not _asks(run):
        yield None
        return
    # Imported here: the client takes a third of a second.
    from mcp_orchestrator.runner import redisstore

    try:
        store = redisstore.RedisStore(url, environ.get(CERTIFICATES, ""))
    except StoreFailed as failed:
        log.warning("there is no cache: %s", failed)
        yield None
        return
    async with store:
        secret = environ.get(KEY, "").encode()
        yield Cache(store, run.metadata.namespace, secret, refresh=run.spec.cache == CacheMode.REFRESH)


def _asks(run: WorkflowRun) -> bool:
    """Whether any workflow of the run says cache."""
    template = run.status.template
    workflows = (template.spec, *(nested.spec for nested in template.nested)) if template else ()
    return any(workflow.cache or any(task.cache for task in workflow.every_task) for workflow in workflows)
