"""The fence: of all pods that a run may ever have, one executes it. Taken by `main` before anything else."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from mcp_orchestrator.api.base import RUNNER_MANAGER
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunnerStatus
from mcp_orchestrator.cluster import errors, resources

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""How long to wait for an API server that does not answer."""
RIGHTS_PATIENCE_SECONDS = 60.0
"""How long to wait for rights: the operator binds them a moment before it creates the Job."""
LONGEST_WAIT_SECONDS = 5.0
OWN_FIELDS = ("tasks", "progress", "outputs", "outputsSecret")
"""What runners write of a run's status, beside `runner` itself."""


class NotOurs(Exception):
    """The run is another pod's, or nobody's any more; `str()` says which. Nothing is to be done."""


class NoRun(Exception):
    """The run can't be executed; `str()` says why."""


@dataclass(frozen=True, slots=True)
class Pod:
    """Who we are, and the run that we are here for."""

    run_name: str
    namespace: str
    name: str
    uid: str


class StatusWriter(Protocol):
    """The part of cluster.client.Client that a runner needs."""

    async def create(self, resource: resources.Resource, body: dict[str, Any]) -> dict[str, Any]:
        """POST."""

    async def get(self, resource: resources.Resource, name: str, namespace: str = "") -> dict[str, Any]:
        """One object."""

    async def apply_status(
        self,
        resource: resources.Resource,
        body: dict[str, Any],
        *,
        manager: str,
        force: bool = True,
        resource_version: str = "",
    ) -> dict[str, Any]:
        """Server-side apply of the status."""


async def take(client: StatusWriter, pod: Pod, now: datetime) -> WorkflowRun:
    """The run, once the API server has it on record that this pod executes it.

    Raises NotOurs if another pod does, NoRun if the run can't be read or the API server can't be reached.
    """
    begun = asyncio.get_running_loop().time()
    wait = 0.1
    while True:
        try:
            return await _try(client, pod, now)
        except errors.NotFound as error:
            raise NotOurs(f"run {pod.run_name} is not there any more") from error
        except errors.Invalid as error:
            raise NoRun(f"the API server does not take this pod as the run's executor: {error}") from error
        except errors.Conflict:
            log.debug("the run changed meanwhile, reading it again")
        except errors.ApiError as error:
            spent = asyncio.get_running_loop().time() - begun
            if spent > (RIGHTS_PATIENCE_SECONDS if isinstance(error, errors.Forbidden) else PATIENCE_SECONDS):
                raise NoRun(f"the run can't be read or taken: {error}") from error
            log.warning("the run can't be taken yet, trying again in %.1f s: %s", wait, error)
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT_SECONDS)


async def _try(client: StatusWriter, pod: Pod, now: datetime) -> WorkflowRun:
    body = await client.get(resources.WORKFLOW_RUNS, pod.run_name, pod.namespace)
    run = _readable(body)
    holder = run.status.runner
    start = now.replace(microsecond=now.microsecond // 1000 * 1000)
    mine = RunnerStatus(
        pod_name=pod.name,
        pod_uid=pod.uid,
        attempt=run.status.attempt or 1,
        # The time-out counts from the first pod's start.
        start_time=(holder.start_time if holder else None) or start,
    )
    if holder and holder.pod_uid == pod.uid and holder.outcome is None:
        # An earlier try was carried out although its answer got lost; or the kubelet, for all that the pod says, has
        # started the container twice, and the record tells what to go on from.
        return run
    _check(run, pod)
    taken = await client.apply_status(
        resources.WORKFLOW_RUNS,
        {
            "metadata": {"namespace": pod.namespace, "name": pod.run_name},
            # What an earlier pod told stays: left out, server-side apply would remove it.
            "status": {**_told(body), "runner": mine.wire()},
        },
        manager=RUNNER_MANAGER,
        resource_version=run.metadata.resource_version,
    )
    return _readable(taken)


def _check(run: WorkflowRun, pod: Pod) -> None:
    """Raise NotOurs unless the run waits for this very pod."""
    holder = run.status.runner
    if holder and (holder.outcome not in (None, Outcome.SUSPENDED) or holder.attempt >= (run.status.attempt or 1)):
        verb = "executes" if holder.outcome is None else "has already executed"
        raise NotOurs(f"pod {holder.pod_name} ({holder.pod_uid}) {verb} the run")
    if run.status.phase and run.status.phase.final:
        raise NotOurs(f"the run has ended: {run.status.phase}")
    if run.metadata.deletion_timestamp:
        raise NotOurs("the run is being deleted")
    if run.status.admitted_at is None:
        # It was held before this pod came so far, from a node that nobody could reach.
        raise NotOurs("the run has no slot any more")
    if run.status.job_name and not pod.name.startswith(f"{run.status.job_name}-"):
        # A run of the same name came after the one that this pod was made for.
        raise NotOurs(f"the run's Job is {run.status.job_name}, and this pod is not of that Job")


def _told(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body["status"].items() if name in OWN_FIELDS}


def _readable(body: dict[str, Any]) -> WorkflowRun:
    run = read(WorkflowRun, body)
    if isinstance(run, Unreadable):
        raise NoRun(f"the run can't be read: {run.message}")
    if run.status.template is None:
        raise NoRun("the run has no resolved workflow in status.template: was it admitted by an operator?")
    return run
