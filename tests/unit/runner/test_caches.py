"""Whether a run has a cache, and which."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_run, a_spec, a_task

from mcp_orchestrator.api.cache import Cache, CacheMode, CacheUse, TaskCache
from mcp_orchestrator.api.resolved import NestedTemplate, ResolvedServer, ResolvedTemplate
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache import caches

URL = {"MCP_ORCHESTRATOR_CACHE_URL": "redis://:s3cret@127.0.0.1:1/0"}
NOWHERE = Connection("http://127.0.0.1:1")
BY_TASK = a_spec(a_task(cache=TaskCache(ttl_seconds=1)))
BY_WORKFLOW = a_spec(cache=Cache(ttl_seconds=1))
LAST = a_spec(finally_=(a_task("last", cache=TaskCache(ttl_seconds=1)),))


def run_of(workflow: Workflow, *inner: Workflow, **fields: Any) -> WorkflowRun:
    nested = tuple(NestedTemplate(name=f"n{place}", digest="sha256:1", spec=spec) for place, spec in enumerate(inner))
    template = ResolvedTemplate(digest="sha256:0", spec=workflow, nested=nested)
    return a_run(status=WorkflowRunStatus(template=template), **fields)


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(run_of(BY_TASK), id="a task asks"),
        pytest.param(run_of(BY_WORKFLOW), id="the workflow asks"),
        pytest.param(run_of(LAST), id="a task of finally asks"),
        pytest.param(run_of(a_spec(), a_spec(), BY_TASK), id="a nested workflow asks"),
        pytest.param(run_of(BY_TASK, cache=CacheMode.REFRESH), id="the run refreshes"),
    ],
)
async def test_a_run_that_asks_for_a_cache_has_one(run: WorkflowRun) -> None:
    async with caches.of_run(run, URL, NOWHERE) as cache:
        assert cache is not None


@pytest.mark.parametrize(
    ("run", "environ"),
    [
        pytest.param(run_of(a_spec()), URL, id="nothing asks"),
        pytest.param(run_of(a_spec()), {}, id="nothing asks the cluster"),
        pytest.param(run_of(BY_TASK, cache=CacheMode.BYPASS), URL, id="the run bypasses it"),
    ],
)
async def test_other_runs_have_none(run: WorkflowRun, environ: dict[str, str]) -> None:
    async with caches.of_run(run, environ, NOWHERE) as cache:
        assert cache is None


@pytest.mark.parametrize(
    ("environ", "key"),
    [
        pytest.param({}, b"", id="no Secret"),
        pytest.param({"MCP_ORCHESTRATOR_CACHE_URL": " ", "MCP_ORCHESTRATOR_CACHE_KEY": "k"}, b"k", id="a key alone"),
    ],
)
async def test_where_no_server_is_named_answers_stand_in_the_cluster(environ: dict[str, str], key: bytes) -> None:
    async with caches.of_run(run_of(BY_TASK), environ, NOWHERE) as cache:
        assert cache
        assert bool(cache.key(ResolvedServer(name="s", url="http://s"), "t", {}, hidden=True)) == bool(key)


async def test_where_no_server_is_named_and_the_cluster_keeps_none_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environ = {"MCP_ORCHESTRATOR_CACHE_MAX_ANSWERS": "0"}
    async with caches.of_run(run_of(BY_TASK), environ, NOWHERE) as cache:
        assert cache is None
    assert "there is no cache: no answers are kept in the cluster (cache.maxAnswers is 0)" in caplog.text


async def test_a_url_that_is_none_is_told_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"MCP_ORCHESTRATOR_CACHE_URL": "http://:s3cret@host"}
    async with caches.of_run(run_of(BY_TASK), environ, NOWHERE) as cache:
        assert cache is None
    assert caplog.text.count("there is no cache: ") == 1
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    ("mode", "use"),
    [
        pytest.param(None, CacheUse.MISS, id="as usual"),
        pytest.param(CacheMode.REFRESH, CacheUse.REFRESHED, id="refreshing"),
    ],
)
async def test_an_answer_that_is_not_kept_is_told_as_what_the_run_asked_for(
    mode: CacheMode | None, use: CacheUse
) -> None:
    fields = {"cache": mode} if mode else {}
    async with caches.of_run(run_of(BY_TASK, **fields), URL, NOWHERE) as cache:
        assert cache
        assert await cache.keep("key", b"", 1) == use
