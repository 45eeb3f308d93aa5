"""Pods, Warning events and logs around a run that failed, read once. Called by the operator and by `diagnose`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Object

MAX_EVENTS = 2000
"""Warning events of a namespace that are searched: a busy one may have very many."""


def of_job(name: str) -> str:
    """The label selector of a Job's pods."""
    return f"batch.kubernetes.io/job-name={name}"


async def pods(client: Client, namespace: str, selector: str, *, cached: bool = False) -> tuple[Object, ...]:
    """The pods with these labels; with `cached` as they were a moment ago. Raises the client's errors."""
    found = await client.list_all(resources.PODS, namespace, label_selector=selector, cached=cached, convert=dict)
    return tuple(found.items)


async def warnings(client: Client, namespace: str, wanted: Callable[[Object], bool]) -> tuple[Object, ...]:
    """The Events of type Warning that are wanted. Raises the client's errors."""
    kept: list[Object] = []
    seen = 0
    async for page in client.list_pages(resources.EVENTS, namespace, field_selector="type=Warning"):
        if page.first:
            kept.clear()
        kept += filter(wanted, page.items)
        seen += len(page.items)
        if seen >= MAX_EVENTS:
            break
    return tuple(kept)


async def log(client: Client, pod: Mapping[str, Any], container: str, lines: int) -> list[str]:
    """The last lines that a container of the pod wrote. Raises the client's errors."""
    metadata = pod["metadata"]
    text = await client.log(metadata["name"], metadata["namespace"], container=container, lines=lines)
    return text.splitlines()
