"""The receipts of idempotency keys on the API server. Called by controllers.runs around what it writes of a run.

The create of a receipt is the lock. It comes before the status that admits the run, and the outcome before the status
that ends it: after a crash between the two, the same run finds its own receipt and goes on.
"""

from __future__ import annotations

from contextlib import suppress

from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.runreceipt import RunReceipt
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import RUN_RECEIPTS, WORKFLOW_RUNS, Object
from mcp_orchestrator.controllers import records
from mcp_orchestrator.planning.plan import Plan
from mcp_orchestrator.planning.runs import receipts
from mcp_orchestrator.planning.runs.receipts import Found, Full


class Receipts:
    """Looks receipts up, and writes them. An outcome is kept for so many days, and a namespace has at most so many."""

    def __init__(self, client: Client, *, days: int, most: int) -> None:
        self._client = client
        self._days = days
        self._most = most

    async def look(self, run: WorkflowRun) -> Found | Full | None:
        """The receipt of the run's key, or that there is no room for one; None if it may have one.

        Raises the client's errors.
        """
        if run.spec.idempotency_key is None:
            return None
        if found := await self._found(run):
            return found
        there = await self._client.count(RUN_RECEIPTS, run.metadata.namespace)
        return Full(self._most) if there >= self._most else None

    async def _found(self, run: WorkflowRun) -> Found | None:
        try:
            receipt = read(RunReceipt, await self._client.get(RUN_RECEIPTS, receipts.name(run), run.metadata.namespace))
        except errors.NotFound:
            return None
        found = Found(receipt)
        if isinstance(receipt, Unreadable) or receipt.spec.phase or receipts.is_mine(run, found):
            return found
        return Found(receipt, at_work=await self._is_at_work(receipt))

    async def before(self, run: WorkflowRun, plan: Plan) -> None:
        """What must stand before the plan's status does. Raises Conflict if another run was faster."""
        if plan.receipt:
            await self._write(dict(plan.receipt))
            return
        end = _end(run, plan)
        body = receipts.outcome(run, end, await self._found(run), self._days) if end and run.status.runner else None
        if body:
            await self._write(body)

    async def after(self, run: WorkflowRun, plan: Plan) -> None:
        """Give the key back of a run that has ended, and of which nothing ran."""
        if not _end(run, plan) or run.status.runner:
            return
        found = await self._found(run)
        if found and receipts.is_mine(run, found):
            metadata = found.receipt.metadata
            with suppress(errors.NotFound, errors.Conflict):
                await self._client.delete(
                    RUN_RECEIPTS, metadata.name, metadata.namespace, resource_version=metadata.resource_version
                )

    async def _write(self, body: Object) -> None:
        replaces = "resourceVersion" in body["metadata"]
        try:
            await (self._client.replace if replaces else self._client.create)(RUN_RECEIPTS, body)
        except errors.AlreadyExists as error:
            raise errors.Conflict(error.message) from error
        except errors.NotFound as error:
            if replaces:
                raise errors.Conflict(error.message) from error
            raise

    async def _is_at_work(self, receipt: RunReceipt) -> bool:
        """Whether the run is there and has not ended. The store may not know yet of what another replica has begun."""
        holder = receipt.spec.run
        try:
            body = await self._client.get(WORKFLOW_RUNS, holder.name, receipt.metadata.namespace)
        except errors.NotFound:
            return False
        return body["metadata"]["uid"] == holder.uid and not records.is_final(body)


def _end(run: WorkflowRun, plan: Plan) -> WorkflowRunStatus | None:
    """The status that ends a run with a key."""
    if run.spec.idempotency_key is None or plan.status is None or not records.is_final({"status": plan.status}):
        return None
    return WorkflowRunStatus.model_validate(plan.status)
