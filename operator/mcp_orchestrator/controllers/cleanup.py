"""Ended runs: observe, plan, delete. Called by controllers.reconcile for each template that has ended runs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from mcp_orchestrator.api.conditions import Condition
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.planning.templates import cleanup
from mcp_orchestrator.planning.templates.cleanup import Action, EndedRun, Step

logger = logging.getLogger(__name__)

CLEANUP = "Cleanup"
"""The kind in the keys of this controller; their name is a template's, or empty for runs without one."""
MANAGER = "mcp-orchestrator-cleanup"
"""Field manager of what is written to a run after its end, beside the status that its end left."""
GATHER_SECONDS = 1.0
"""Many runs end at the same time: one look is for all of them."""
LOOKED_AT_A_SECOND = 2000
"""The more runs there are, the rarer a look: it takes some microseconds for each."""
PER_SECOND = 10
"""So many deletions a second, and no more unless there are more to do than a minute is enough for."""
BACKLOG_SECONDS = 60
REFUSED_SECONDS = 600.0
"""How long a run is left alone whose deletion was refused, by a policy of the cluster as a rule."""


class Pace:
    """How many deletions may be made now. `now` gives seconds of a clock that never jumps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._at = now()
        self._room = float(PER_SECOND)

    def take(self, due: int) -> int:
        """How many of those that are due may be made at once; the others a second later."""
        now, rate = self._now(), max(PER_SECOND, due / BACKLOG_SECONDS)
        self._room = min(rate, self._room + (now - self._at) * rate)
        self._at = now
        taken = min(due, int(self._room))
        self._room -= taken
        return taken


class Cleanup:
    """The controller of runs that have ended. `later` queues a key after some seconds."""

    def __init__(
        self,
        *,
        client: Client,
        store: Store,
        clock: Callable[[], datetime],
        later: Callable[[Key, float], None],
    ) -> None:
        self._client = client
        self._store = store
        self._clock = clock
        self._later = later
        self._now = asyncio.get_running_loop().time
        self._pace = Pace(self._now)
        self._refused: dict[str, float] = {}

    def begin(self) -> None:
        """Look at all runs that have ended, and from then on at what changes."""
        for kind in (records.RUN, records.TEMPLATE):
            for key in self._store.keys(kind):
                self._changed(key, None, self._store.get(key))
        self._store.listen(self._changed)

    def _changed(self, key: Key, _: object, new: Any) -> None:
        if key.kind == records.TEMPLATE:
            self._look_soon(key.namespace, key.name)
        elif key.kind == records.RUN and new is not None and records.is_final(new):
            self._look_soon(key.namespace, records.template_of(new))

    def _look_soon(self, namespace: str, template: str) -> None:
        ended = self._store.count(records.RUN, "ended", (namespace, template))
        self._later(Key(CLEANUP, namespace, template), max(GATHER_SECONDS, ended / LOOKED_AT_A_SECOND))

    async def reconcile(self, key: Key) -> float | None:
        """Take one look at the ended runs of a template; seconds until the next, None for when something changes."""
        found = self._store.get(Key(records.TEMPLATE, key.namespace, key.name)) if key.name else None
        template = found.spec if isinstance(found, WorkflowTemplate) else None
        plan = cleanup.plan_cleanup(self._ended(key), template, self._clock())
        allowed = self._pace.take(len(plan.steps))
        for step in plan.steps[:allowed]:
            await self._carry_out(Key(records.RUN, key.namespace, step.run.name), step)
        if allowed < len(plan.steps):
            return GATHER_SECONDS
        wake = [max(0.0, (plan.wake_at - self._clock()).total_seconds())] if plan.wake_at else []
        return min([*wake, *([REFUSED_SECONDS] if self._refused else [])], default=None)

    def _ended(self, key: Key) -> Iterator[EndedRun]:
        self._refused = {uid: until for uid, until in self._refused.items() if until > self._now()}
        for record in self._store.select(records.RUN, "ended", (key.namespace, key.name)):
            name = record["metadata"]["name"]
            resumed = self._store.count(records.RUN, "resumed", (key.namespace, name)) > 0
            run = cleanup.ended_run(record, resumed=resumed)
            if run and run.uid not in self._refused:
                yield run

    async def _carry_out(self, key: Key, step: Step) -> None:
        """One step. What is refused waits, and holds nothing else up; all else is for the caller."""
        told = {"namespace": key.namespace, "object_name": key.name, "uid": step.run.uid, "reason": step.reason}
        try:
            if step.action == Action.DELETE:
                await self._delete(resources.WORKFLOW_RUNS, key.name, key.namespace, step.run.uid)
                self._store.delete(key, step.run.uid)
            else:
                await self._prune_or_observe(key, step)
        except (errors.Forbidden, errors.Invalid) as error:
            self._refused[step.run.uid] = self._now() + REFUSED_SECONDS
            logger.warning("%s was refused: %s", step.action, error.message, extra=told)
        else:
            logger.info("%s: %s", step.action, step.message or "its spec was edited after its end", extra=told)

    async def _prune_or_observe(self, key: Key, step: Step) -> None:
        try:
            body = await self._client.get(resources.WORKFLOW_RUNS, key.name, key.namespace)
        except errors.NotFound:
            self._store.delete(key, step.run.uid)
            return
        run = read(WorkflowRun, body)
        if isinstance(run, Unreadable) or run.metadata.uid != step.run.uid:
            self._store.upsert(records.RUN, body)
            return
        if step.action == Action.PRUNE:
            await self._delete_children(run)
        conditions = cleanup.conditions_after(run, step, self._clock())
        await self._write(key, run, conditions)

    async def _write(self, key: Key, run: WorkflowRun, conditions: tuple[Condition, ...]) -> None:
        body = {
            "apiVersion": resources.WORKFLOW_RUNS.api_version,
            "kind": key.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": {
                "observedGeneration": run.metadata.generation,
                "conditions": [condition.wire() for condition in conditions],
            },
        }
        version = run.metadata.resource_version
        made = await self._client.apply_status(resources.WORKFLOW_RUNS, body, manager=MANAGER, resource_version=version)
        self._store.upsert(records.RUN, made)

    async def _delete_children(self, run: WorkflowRun) -> None:
        """Delete the run's Jobs, which takes their pods along, and the ConfigMaps with its large results."""
        metadata = run.metadata
        for attempt in range(1, (run.status.attempt or 0) + 1):
            name = manifests.job_name(metadata.name, metadata.uid, attempt)
            job = self._store.get(Key(records.JOB, metadata.namespace, name))
            if job and records.owner_uid(job) == metadata.uid:
                await self._delete(resources.JOBS, name, metadata.namespace, job["metadata"]["uid"])
        for name in runjob.packs(run):
            try:
                pack = await self._client.get(resources.CONFIG_MAPS, name, metadata.namespace)
            except errors.NotFound:
                continue
            if any(owner["uid"] == metadata.uid for owner in pack["metadata"].get("ownerReferences", ())):
                await self._delete(resources.CONFIG_MAPS, name, metadata.namespace, pack["metadata"]["uid"])

    async def _delete(self, resource: resources.Resource, name: str, namespace: str, uid: str) -> None:
        """Delete that very object; one that is gone, or of which another has the name, is as good as deleted."""
        try:
            await self._client.delete(resource, name, namespace, uid=uid)
        except (errors.NotFound, errors.Conflict):
            return
