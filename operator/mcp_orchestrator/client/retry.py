"""`mcp-orchestrator retry RUN`: a new run of the same, which goes on from what the ended one has done."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.workflow import Parameter
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.client import given, runs
from mcp_orchestrator.client.cluster import Access, Cluster, opened, readable
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.resultsfile import counted
from mcp_orchestrator.planning.children.runjob import PRIORITY_LABEL, QUEUE_LABEL

ORDERS = ("suspend", "cancel", "idempotencyKey")
"""What of a spec was said to that one run. Its key is used up."""
KUEUE_LABELS = (QUEUE_LABEL, PRIORITY_LABEL)
_EARLIER = re.compile(r"-retry-[0-9a-f]{6}$")


@dataclass(frozen=True, slots=True)
class Order:
    """A run to go on from, and how long to stay with the new one."""

    run: str
    parameters: Sequence[str] = ()
    """Values that replace those of the run."""
    name: str = ""
    stay: runs.Stay = field(default_factory=runs.Stay)


def run(order: Order, access: Access, output: str) -> Exit:
    """The command. Raises Failed."""

    async def work() -> Exit:
        async with opened(access) as cluster:
            body = await cluster.body(order.run)
            earlier = readable(body)
            check(earlier)
            values = given.parameters(order.parameters, await _declared(cluster, earlier))
            name = order.name or name_after(order.run)
            metadata = {"name": name, "namespace": cluster.namespace} | labels_after(earlier)
            spec = spec_after(order.run, body["spec"], values)
            created = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "metadata": metadata, "spec": spec}
            made = await runs.created(cluster, created, made_up=not order.name)
            done, total = counted(earlier.status.tasks)
            about = f" and goes on from {order.run}, where {done} of {total} tasks succeeded" if done else ""
            return await runs.attend(cluster, made, order.stay, output, about)

    return asyncio.run(work())


def check(earlier: WorkflowRun) -> None:
    """Whether there is something to retry. Raises Failed."""
    name, namespace, phase = earlier.metadata.name, earlier.metadata.namespace, earlier.status.phase
    if not (phase and phase.final):
        remedy = f"to follow it: mcp-orchestrator watch {name} -n {namespace}"
        raise Failed(f"{name} has not ended ({phase or RunPhase.PENDING}): nothing to retry; {remedy}")
    if phase == RunPhase.SUCCEEDED:
        template = earlier.spec.template_ref
        remedy = f"; to run it all again: mcp-orchestrator run {template.name} -n {namespace}" if template else ""
        raise Failed(f"{name} has ended ({phase}): nothing to retry{remedy}")


def name_after(name: str) -> str:
    """A new name that tells which run it goes on from, and does not grow from retry to retry."""
    return f"{_EARLIER.sub('', name)[:40].rstrip('-.')}-retry-{secrets.token_hex(3)}"


def spec_after(name: str, spec: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The spec of a run that goes on from run `name`, with other values for some parameters."""
    after = {key: value for key, value in spec.items() if key not in (*ORDERS, "parametersFrom")}
    # A parameter has its value from one place.
    if sources := [source for source in spec.get("parametersFrom", ()) if source["name"] not in values]:
        after["parametersFrom"] = sources
    if merged := {**spec.get("parameters", {}), **values}:
        after["parameters"] = merged
    return after | {"resumeFrom": name}


def labels_after(earlier: WorkflowRun) -> dict[str, Any]:
    """The labels that say who lets the run in. Others may be of a tool that would take the new run for its own."""
    labels = {name: earlier.metadata.labels[name] for name in KUEUE_LABELS if name in earlier.metadata.labels}
    return {"labels": labels} if labels else {}


async def _declared(cluster: Cluster, earlier: WorkflowRun) -> tuple[Parameter, ...] | None:
    if earlier.spec.template_ref:
        return await runs.declared(cluster, earlier.spec.template_ref.name)
    return earlier.spec.template.parameters if earlier.spec.template else None
