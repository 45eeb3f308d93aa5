"""One key, one execution: what a receipt means for a run with its key, and what is written to it. Pure.

Called by `starting` and by controllers.receipts.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.api.runreceipt import MOST_OUTPUT_BYTES, ReceiptRun, RunReceipt, RunReceiptSpec
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunCondition, RunPhase, RunReason, WorkflowRunStatus
from mcp_orchestrator.planning.expiry import Kept
from mcp_orchestrator.planning.workflows.resolution import Waiting

CLAIM = timedelta(days=366)
"""How long a receipt without an outcome stands: longer than any run takes, with all the time that it is suspended."""
OTHERWISE = "or create a run with another spec.idempotencyKey, or without one."


@dataclass(frozen=True, slots=True)
class Found:
    """The receipt of a run's key."""

    receipt: RunReceipt | Unreadable
    at_work: bool = False
    """Whether it names another run that is there and has not ended; asked for while it has no outcome."""


@dataclass(frozen=True, slots=True)
class Full:
    """The run's key has no receipt, and its namespace has no room for one more."""

    most: int


@dataclass(frozen=True, slots=True)
class Spent:
    """How a run ends whose key was used: it is not executed."""

    phase: RunPhase
    reason: RunReason
    message: str
    remedy: str
    outputs: dict[str, Any] | None = None


# --- what it means ----------------------------------------------------------------------------------------------------


def verdict(run: WorkflowRun, found: Found | Full | None, now: datetime) -> Waiting | Spent | None:
    """What the receipt of its key means for a run that has not started; None if the run goes on."""
    if found is None:
        return None
    if isinstance(found, Full):
        words = f"the namespace has {found.most} RunReceipts (kubectl get mrcpt), and may have no more"
        return Waiting(RunReason.RECEIPT_LIMIT, f"{words}: the run waits until one is over, or is deleted")
    if isinstance(found.receipt, Unreadable):
        words = f"this version of the operator can't read RunReceipt {found.receipt.metadata.name}"
        return Waiting(RunReason.KEY_IN_USE, f"the run's key is in use: {words}: {found.receipt.message}")
    spec = found.receipt.spec
    if is_mine(run, found) or _is_free(found, spec, now):
        return None
    if spec.parameters_digest != parameters_digest(run):
        message = f"run {spec.run.name} has the same spec.idempotencyKey and other parameters"
        remedy = f"Create a run with the parameters of {spec.run.name} to have its outcome, {OTHERWISE}"
        return Spent(RunPhase.FAILED, RunReason.IDEMPOTENCY_CONFLICT, message, remedy)
    if spec.phase is None:
        return Waiting(RunReason.KEY_IN_USE, f"waits for the outcome of run {spec.run.name}, which has the same key")
    return _taken_over(spec, spec.phase)


def is_mine(run: WorkflowRun, found: Found) -> bool:
    """Whether the run itself has the key."""
    return isinstance(found.receipt, RunReceipt) and found.receipt.spec.run.uid == run.metadata.uid


def is_over(kept: Kept, now: datetime) -> bool:
    """Whether the receipt may go."""
    return kept.until is None or kept.until <= now


def _is_free(found: Found, spec: RunReceiptSpec, now: datetime) -> bool:
    """Whether nobody was executed under the key: its run is gone or ended without a start. Or that was long ago."""
    return spec.until <= now or (spec.phase is None and not found.at_work)


def _taken_over(spec: RunReceiptSpec, phase: RunPhase) -> Spent:
    name = spec.run.name
    message = f"taken over from run {name}: {spec.message or phase}"
    if spec.outputs_left_out:
        message = f"{message}; its outputs are too large to be taken over: they stand in the status of that run"
    remedy = f"Mend what made run {name} fail: mcp-orchestrator diagnose {name}; then retry that run, {OTHERWISE}"
    return Spent(phase, RunReason.ALREADY_EXECUTED, message, remedy, spec.outputs)


# --- what is written --------------------------------------------------------------------------------------------------


def claim(run: WorkflowRun, found: Found | Full | None, now: datetime) -> dict[str, Any] | None:
    """The receipt that gives the key to the run; None if it has it, or has no key. It replaces the version it names."""
    assert not isinstance(found, Full)  # noqa: S101 - such a run waits
    if run.spec.idempotency_key is None or (found and is_mine(run, found)):
        return None
    return _manifest(run, found, _spec(run, now + CLAIM))


def outcome(run: WorkflowRun, end: WorkflowRunStatus, found: Found | None, days: int) -> dict[str, Any] | None:
    """The receipt that tells how the run ends, for so many days; None if another run has the key."""
    ended = conditions.find(end.conditions, RunCondition.FINISHED)
    if (found and not is_mine(run, found)) or ended is None or end.completion_time is None:
        return None
    more: dict[str, Any] = {
        "phase": end.phase,
        "reason": ended.reason,
        "message": end.message,
        "completion_time": end.completion_time,
    }
    if run.status.outputs is not None:
        fits = len(json.dumps(run.status.outputs, ensure_ascii=False).encode()) <= MOST_OUTPUT_BYTES
        more |= {"outputs": run.status.outputs} if fits else {"outputs_left_out": True}
    return _manifest(run, found, _spec(run, end.completion_time + timedelta(days=days), **more))


def name(run: WorkflowRun) -> str:
    """Name of the receipt of the run's key."""
    return _sha256([_template(run), run.spec.idempotency_key])


def parameters_digest(run: WorkflowRun) -> str:
    """The same for runs with the same parameters, however they were written. What a source holds does not count."""
    sources = sorted((source.wire() for source in run.spec.parameters_from), key=lambda source: str(source["name"]))
    return f"sha256:{_sha256([run.spec.parameters, sources])}"


def _spec(run: WorkflowRun, until: datetime, **more: Any) -> RunReceiptSpec:
    return RunReceiptSpec(
        template=_template(run),
        run=ReceiptRun(name=run.metadata.name, uid=run.metadata.uid),
        parameters_digest=parameters_digest(run),
        until=until,
        **more,
    )


def _manifest(run: WorkflowRun, found: Found | None, spec: RunReceiptSpec) -> dict[str, Any]:
    version = {"resourceVersion": found.receipt.metadata.resource_version} if found else {}
    metadata = {"name": name(run), "namespace": run.metadata.namespace, **version}
    return {"apiVersion": API_VERSION, "kind": RunReceipt.__name__, "metadata": metadata, "spec": spec.wire()}


def _template(run: WorkflowRun) -> str:
    return run.spec.template_ref.name if run.spec.template_ref else ""


def _sha256(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
