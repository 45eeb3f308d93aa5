"""Looks whether something is ordered of the run, every other second while it is executed. Made by `main`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.runner.control.orders import Orders, ordered

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
"""How soon a run hears of an order."""


class Watcher:
    """Gives the orders that stand in a run, as it is seen by reading it and by writing its status."""

    def __init__(self, run: WorkflowRun) -> None:
        self.orders = Orders(ordered(run))
        self._metadata = run.metadata

    def see(self, body: Mapping[str, Any]) -> None:
        """Take note of the run as the API server shows it; an older view than the last one changes nothing."""
        run = read(WorkflowRun, _needed(body))
        if isinstance(run, Unreadable) or run.metadata.uid != self._metadata.uid:
            return
        if run.metadata.generation >= self._metadata.generation:
            self._metadata = run.metadata
            if self.orders.give(order := ordered(run)):
                log.info("an order: %s", order.message or "to go on", extra=self._fields)

    @property
    def _fields(self) -> dict[str, str]:
        found = self._metadata
        return {"kind": "WorkflowRun", "namespace": found.namespace, "object_name": found.name, "uid": found.uid}

    @asynccontextmanager
    async def watching(self, look: Callable[[], Awaitable[Mapping[str, Any]]]) -> AsyncIterator[Orders]:
        """Look at the run for as long; the orders that are given meanwhile."""
        task = asyncio.create_task(self._watch(look), name="orders")
        try:
            yield self.orders
        finally:
            task.cancel()
            await asyncio.wait({task})

    async def _watch(self, look: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            try:
                self.see(await look())
            except errors.ApiError as error:
                # The run goes on all the same. If it is lost, its next report tells.
                log.debug("the run can't be looked at: %s", error)


def _needed(body: Mapping[str, Any]) -> dict[str, Any]:
    """What orders stand in: the rest may be long."""
    wanted = {"spec": ("suspend", "cancel"), "status": ("cancellation",)}
    parts = {part: body.get(part) or {} for part in wanted}
    return {"metadata": body["metadata"]} | {
        part: {name: parts[part][name] for name in names if name in parts[part]} for part, names in wanted.items()
    }
