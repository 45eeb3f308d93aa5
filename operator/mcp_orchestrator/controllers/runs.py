"""WorkflowRun: observe, plan, apply. Called by controllers.reconcile for each key."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from mcp_orchestrator import telemetry
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.cluster import errors, resources, scenes
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.controllers import records, templates
from mcp_orchestrator.controllers.accounts import RunnerAccounts
from mcp_orchestrator.controllers.admission import Admission
from mcp_orchestrator.controllers.children import Children, DyingObject, ForeignObject
from mcp_orchestrator.controllers.receipts import Receipts
from mcp_orchestrator.controllers.scenes import Scenes
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.controllers.writing import Writer
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.queue import concurrency
from mcp_orchestrator.planning.runs import attempts, decision, endings, kueue, runstatus
from mcp_orchestrator.planning.runs.observed import ObservedRun, Obstacle
from mcp_orchestrator.planning.unreadable import plan_unreadable
from mcp_orchestrator.planning.workflows.resolution import Surroundings
from mcp_orchestrator.settings import Settings, clock

GUIDE_WORDS = {RunPhase.SUCCEEDED: "completed", RunPhase.FAILED: "failed", RunPhase.CANCELLED: "cancelled"}
"""The words that the metrics' status label has for the ends of a run."""


class Runs:
    """The controller of WorkflowRuns."""

    def __init__(
        self,
        *,
        client: Client,
        store: Store,
        children: Children,
        accounts: RunnerAccounts,
        admission: Admission,
        writer: Writer,
        scenes: Scenes,
        receipts: Receipts,
        settings: Settings,
        wake: Callable[[Key], None],
    ) -> None:
        self._client = client
        self._store = store
        self._children = children
        self._accounts = accounts
        self._admission = admission
        self._writer = writer
        self._scenes = scenes
        self._receipts = receipts
        self._settings = settings
        self._wake = wake

    async def reconcile(self, key: Key) -> float | None:
        """Take one look at the run; seconds until the next, None for when something changes."""
        try:
            return await self._look(key)
        finally:
            self._admission.looked_at(key)

    async def _look(self, key: Key) -> float | None:
        record = self._store.get(key)
        if record is None or records.is_final(record):
            self._admission.withdraw(key)
            return None
        run = read(WorkflowRun, record)
        if isinstance(run, Unreadable):
            self._admission.withdraw(key)
            return await self._writer.write(resources.WORKFLOW_RUNS, key, run.metadata, plan_unreadable(run))
        plan = await self._decide(key, run)
        try:
            # The order matters: the status that names the Job stands before the Job.
            wait = await self._write(key, run, plan)
            if refused := await self._create(key, run, plan):
                plan = await self._plan(refused)
                wait = await self._write(key, refused.run, plan)
            for child in plan.deletions:
                await self._children.delete(child)
        except errors.Conflict:
            self._store.upsert(records.RUN, await self._client.get(resources.WORKFLOW_RUNS, key.name, key.namespace))
            return 0.0
        except DyingObject:
            return 1.0
        self._count_end(run, plan)
        return wait

    async def _decide(self, key: Key, run: WorkflowRun) -> Plan:
        observed = await self._observe(key, run)
        for name in concurrency.displaced(observed.rivals):
            self._wake(Key(records.RUN, key.namespace, name))
        plan = await self._plan(observed)
        if plan.candidate:
            if self._admission.offer(key, plan.candidate):
                observed = replace(observed, slot=True)
            else:
                observed = replace(observed, obstacle=Obstacle(*self._admission.obstacle(plan.candidate)))
            return decision.plan_run(observed, self._settings, clock())
        self._admission.withdraw(key)
        return plan

    async def _plan(self, observed: ObservedRun) -> Plan:
        """The plan, with what it asks for looked at."""
        plan = decision.plan_run(observed, self._settings, clock())
        if plan.question is None:
            return plan
        scene = await self._scenes.look(observed, plan.question)
        return decision.plan_run(replace(observed, scene=scene), self._settings, clock())

    async def _create(self, key: Key, run: WorkflowRun, plan: Plan) -> ObservedRun | None:
        """Make the plan's children; if that is refused, the run as it is now, and why."""
        try:
            if plan.children and self._settings.runner_accounts == "create":
                await self._accounts.ensure(key.namespace, clock())
            for child in plan.children:
                await self._children.create(child)
        except (ForeignObject, errors.Invalid, errors.Forbidden) as error:
            return _refused(self._current(key) or run, error)
        return None

    async def _write(self, key: Key, run: WorkflowRun, plan: Plan) -> float | None:
        """The status, between what goes before it and what follows it in the receipt of the run's key."""
        if run.spec.idempotency_key and plan.status is not None and self._has_changed(key, run):
            raise errors.Conflict("the run has changed: its receipt must not tell what its status can't")
        await self._receipts.before(run, plan)
        wait = await self._writer.write(resources.WORKFLOW_RUNS, key, run.metadata, plan)
        await self._receipts.after(run, plan)
        return wait

    def _has_changed(self, key: Key, run: WorkflowRun) -> bool:
        record = self._store.get(key) or {"metadata": {}}
        return bool(record["metadata"].get("resourceVersion") != run.metadata.resource_version)

    def _current(self, key: Key) -> WorkflowRun | None:
        record = self._store.get(key)
        found = read(WorkflowRun, record) if record else None
        return found if isinstance(found, WorkflowRun) else None

    async def _observe(self, key: Key, run: WorkflowRun) -> ObservedRun:
        rivals = records.rivals(self._store, run)
        if run.status.admitted_at is None:
            around = await self._around(key, run)
            receipt = None if run.status.template else await self._receipts.look(run)
            return ObservedRun(run=run, around=around, rivals=rivals, receipt=receipt)
        earlier = self._store.get(Key(records.JOB, key.namespace, kueue.earlier_job(run)))
        seen = ObservedRun(run=run, rivals=rivals, earlier_job=earlier)
        job = await self._job(run)
        if job is None:
            # The end of a Job may be known before its runner's first word, without which another Job would be made.
            return seen if attempts.current_runner(run) else replace(seen, run=await self._fresh(key, run))
        ended = endings.has_ended(job)
        if ended and not (run.status.runner and run.status.runner.outcome):
            # The Job's end may be known before the runner's last word: ask for that word.
            run = await self._fresh(key, run)
        runner = attempts.current_runner(run)
        reported = runner is not None and (not ended or runner.outcome is not None)
        now = clock()
        young = now - runstatus.pod_awaited_since(run, job, now) < runstatus.START_WAKE
        early = (young or kueue.holds_back(job)) and not ended
        # A pod that does not start is looked at again and again, by each run that waits; one that has ended, once.
        pods = () if reported or early else await self._pods(run, cached=not ended)
        return replace(seen, run=run, job=job, pods=pods)

    async def _around(self, key: Key, run: WorkflowRun) -> Surroundings:
        """What stands beside a run that is not admitted yet."""
        return Surroundings(
            templates=templates.templates_of(self._store, key.namespace),
            servers=templates.servers_of(self._store, key.namespace),
            texts=await self._texts(run),
            resumed=await self._resumed(run),
        )

    async def _texts(self, run: WorkflowRun) -> Mapping[tuple[str, str], str | None]:
        """What stands in the ConfigMaps that the run's parameters are read from."""
        refs = [source.config_map_key_ref for source in run.spec.parameters_from if source.config_map_key_ref]
        held: dict[str, Mapping[str, str]] = {}
        for name in sorted({ref.name for ref in refs}):
            try:
                body = await self._client.get(resources.CONFIG_MAPS, name, run.metadata.namespace)
            except errors.NotFound:
                body = {}
            held[name] = body.get("data") or {}
        return {(ref.name, ref.key): held[ref.name].get(ref.key) for ref in refs}

    async def _resumed(self, run: WorkflowRun) -> WorkflowRun | None:
        """The run that this one resumes: whole, if it has ended; the store keeps no more than its outline."""
        name, namespace = run.spec.resume_from, run.metadata.namespace
        if not name or name == run.metadata.name or not self._store.get(Key(records.RUN, namespace, name)):
            return None
        try:
            found = read(WorkflowRun, await self._client.get(resources.WORKFLOW_RUNS, name, namespace))
        except errors.NotFound:
            return None
        return found if isinstance(found, WorkflowRun) else None

    async def _job(self, run: WorkflowRun) -> Mapping[str, Any] | None:
        """The run's Job. That there is none is believed of the API server only, unless it does not matter any more."""
        name, namespace = run.status.job_name or "", run.metadata.namespace
        job: dict[str, Any] | None = self._store.get(Key(records.JOB, namespace, name))
        runner = attempts.current_runner(run)
        if job is None and not (runner and runner.outcome):
            with suppress(errors.NotFound):
                job = await self._client.get(resources.JOBS, name, namespace)
        return job if job and records.owner_uid(job) == run.metadata.uid else None

    async def _fresh(self, key: Key, run: WorkflowRun) -> WorkflowRun:
        self._store.upsert(records.RUN, await self._client.get(resources.WORKFLOW_RUNS, key.name, key.namespace))
        return self._current(key) or run

    async def _pods(self, run: WorkflowRun, *, cached: bool) -> tuple[Mapping[str, Any], ...]:
        selector = scenes.of_job(run.status.job_name or "")
        return await scenes.pods(self._client, run.metadata.namespace, selector, cached=cached)

    def _count_end(self, run: WorkflowRun, plan: Plan) -> None:
        phase = RunPhase(plan.status["phase"]) if plan.status and "phase" in plan.status else None
        if plan.status is None or phase is None or not phase.final or runstatus.is_taken_over(plan.status):
            return
        type_ = decision.workflow_type(run)
        telemetry.WORKFLOW_EXECUTIONS.labels(type_, GUIDE_WORDS[phase]).inc()
        if "durationMilliseconds" in plan.status:
            telemetry.WORKFLOW_DURATION.labels(type_).observe(plan.status["durationMilliseconds"] / 1000)
        if "diagnosis" in plan.status:
            telemetry.ERRORS.labels(plan.status["diagnosis"]["class"], "workflow").inc()


def _refused(run: WorkflowRun, error: ForeignObject | errors.Invalid | errors.Forbidden) -> ObservedRun:
    """The run, and why its Job could not be created."""
    match error:
        case errors.Invalid():
            return ObservedRun(run=run, mistake=error.message)
        case errors.Forbidden():
            return ObservedRun(run=run, refusal=error.message)
    return ObservedRun(run=run, foreign_job=True)
