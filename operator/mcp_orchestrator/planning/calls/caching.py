"""Which answers may be taken again, and what a call must have in common with another for that. Used by the runner."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Any

import orjson

from mcp_orchestrator.api.cache import TaskCache
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.planning.calls import retry

FORM = 2
"""To be counted up when an answer is kept in another form, so that older runners do not read it."""


def with_default(workflow: Workflow) -> Workflow:
    """The workflow with its own cache on each of its tasks that calls a tool and does not say."""
    if workflow.cache is None:
        return workflow
    default = TaskCache(ttl_seconds=workflow.cache.ttl_seconds)

    def told(task: Task) -> Task:
        return task.model_copy(update={"cache": default}) if task.tool and task.cache is None else task

    tasks, last = tuple(map(told, workflow.tasks)), tuple(map(told, workflow.finally_))
    return workflow.model_copy(update={"tasks": tasks, "finally_": last})


def ttl_seconds(task: Task, server: ResolvedServer) -> int:
    """For how long the answer of the task's call may be taken again; 0 if it may not."""
    if task.cache is None or not (task.cache.force or retry.is_repeatable(task, server)):
        return 0
    return task.cache.ttl_seconds


def digest(namespace: str, server: ResolvedServer, tool: str, arguments: Mapping[str, Any], secret: bytes) -> str:
    """The same for calls that are the same, and for no others; not to be guessed at without the secret."""
    call = {
        "form": FORM,
        "namespace": namespace,
        "server": {"name": server.name, "url": server.url, "spec": server.digest, "tools": server.tools_digest},
        "tool": tool,
        "arguments": arguments,
    }
    return hmac.digest(secret, orjson.dumps(call, option=orjson.OPT_SORT_KEYS), "sha256").hex()
