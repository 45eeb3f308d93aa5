"""Sends a Report to the run's status: soon, seldom, and at last for sure. Made and ended by `main`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.runner.control.stop import Stopped
from mcp_orchestrator.runner.fence import StatusWriter
from mcp_orchestrator.runner.reports.reporting import Report

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
"""The least time from one report to the next."""
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 15.0
PATIENCE_SECONDS = 600.0
"""How long the last report is tried: longer than an API server takes to come back after an upgrade."""
CONFLICTS = 5
"""How often in a row a report meets another writer before it waits."""


class RunLost(Exception):
    """The run is not there any more, or is another pod's: there is nobody to report to. `str()` says which."""


class NotReported(Exception):
    """The last report was not delivered; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """The very object whose status is written, and by whom: another run of the same name is another one."""

    namespace: str
    name: str
    uid: str
    pod_uid: str


class Applier:
    """Applies the changes of a report until it is finished. `on_lost` is told once if the run turns out to be lost,
    `on_seen` the run as each answer shows it.

    Each write holds only if the object is still at the version that was last seen, and then is looked at again: the API
    server does not compare the UID of what is applied to a status, and a write that arrives late must not undo a newer.
    """

    def __init__(
        self,
        client: StatusWriter,
        target: Target,
        resource_version: str,
        report: Report,
        on_lost: Callable[[str], None],
        on_seen: Callable[[Mapping[str, Any]], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._target = target
        self._resource_version = resource_version
        self._report = report
        self._on_lost = on_lost
        self._on_seen = on_seen
        self._closing = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sent = -1
        """The version of the report that is on record."""
        self._waiting: list[asyncio.Future[None]] = []
        self._lost = ""
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send, at once."""
        self._report.changed.set()
        self._loop = asyncio.create_task(self._send_changes(), name="reports")

    async def commit(self) -> None:
        """Return once the report as it is now is on record. Raises Stopped if the run is lost.

        All who wait share the next write, which does not wait for its turn.
        """
        wanted = self._report.version
        while self._sent < wanted:
            if self._lost:
                raise Stopped(self._lost)
            waiting = asyncio.get_running_loop().create_future()
            self._waiting.append(waiting)
            self._urgent.set()
            self._report.changed.set()
            await waiting

    async def finish(self, *, again: bool = False) -> None:
        """Send the last state, with `again` also if it is on record: then it is sure that the run is still ours.

        Raises RunLost, or NotReported after ten minutes of trying. Waits for a report that is under way: two at a time
        would only be in each other's way.
        """
        self._closing.set()
        self._report.changed.set()
        if self._loop:
            await self._loop
        if again:
            self._sent = -1
        give_up = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                return await self._send()
            except errors.Invalid as error:
                log.error("the API server does not take the report: %s", error)
                if not self._report.strip(str(error)):
                    raise NotReported(f"the API server does not take the report: {error}") from error
                continue
            except errors.ApiError as error:
                if asyncio.get_running_loop().time() + wait > give_up:
                    raise NotReported(f"the run's end could not be reported: {error}") from error
                log.warning("the run's end is not reported yet, trying again in %g s: %s", wait, error)
            await asyncio.sleep(wait)
            wait = min(wait * 2, LONGEST_WAIT_SECONDS)

    async def _send_changes(self) -> None:
        wait = FIRST_WAIT_SECONDS
        while True:
            await self._report.changed.wait()
            if self._closing.is_set():
                return
            self._report.changed.clear()
            self._urgent.clear()
            pause = INTERVAL_SECONDS
            try:
                await self._send()
                wait = FIRST_WAIT_SECONDS
            except RunLost as lost:
                self._lost = str(lost)
                self._on_lost(self._lost)
                self._wake()
                return
            except errors.ApiError as error:
                log.warning("a report was not taken, trying again in %g s: %s", wait, error)
                pause, wait = wait, min(wait * 2, LONGEST_WAIT_SECONDS)
                self._report.changed.set()
                await self._rest(pause, self._closing)
                continue
            self._wake()
            await self._rest(pause, self._closing, self._urgent)

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        self._waiting.clear()

    async def _rest(self, seconds: float, *until: asyncio.Event) -> None:
        """Wait so long, or until one of the events is set."""
        events = [asyncio.ensure_future(event.wait()) for event in until]
        try:
            await asyncio.wait(events, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for event in events:
                event.cancel()

    async def _send(self) -> None:
        shown = self._report.snapshot()
        if shown.version == self._sent:
            return
        for pack in shown.packs:
            await self._create(resources.CONFIG_MAPS, pack)
            self._report.written(pack["metadata"]["name"])
        if shown.secret:
            await self._create(resources.SECRETS, shown.secret)
        await self._apply(shown.fields)
        self._sent = shown.version

    async def _create(self, resource: resources.Resource, body: Mapping[str, Any]) -> None:
        try:
            await self._client.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, **body})
        except errors.AlreadyExists:
            log.debug("%s %s stands already", resource.kind, body["metadata"]["name"])

    async def _apply(self, fields: Mapping[str, Any]) -> None:
        body = {
            "metadata": {"namespace": self._target.namespace, "name": self._target.name},
            "status": dict(fields),
        }
        for last in (*(CONFLICTS - 1) * (False,), True):
            try:
                answer = await self._client.apply_status(
                    resources.WORKFLOW_RUNS, body, manager=RUNNER_MANAGER, resource_version=self._resource_version
                )
            except errors.NotFound as error:
                raise RunLost("the run was deleted") from error
            except errors.Conflict:
                # The operator wrote, or an earlier try of ours was carried out although its answer got lost.
                if last:
                    raise
                await self._look_again()
            else:
                self._resource_version = answer["metadata"]["resourceVersion"]
                self._on_seen(answer)
                return

    async def _look_again(self) -> None:
        try:
            body = await self._client.get(resources.WORKFLOW_RUNS, self._target.name, self._target.namespace)
        except errors.NotFound as error:
            raise RunLost("the run was deleted") from error
        if body["metadata"]["uid"] != self._target.uid:
            raise RunLost("the run was deleted, and another one has its name")
        holder = ((body.get("status") or {}).get("runner") or {}).get("podUid")
        if holder != self._target.pod_uid:
            raise RunLost(f"the run is executed by another pod ({holder})")
        self._resource_version = body["metadata"]["resourceVersion"]
        self._on_seen(body)
