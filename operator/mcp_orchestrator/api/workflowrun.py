"""WorkflowRun: one execution of a workflow, in one Job with one pod."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import (
    Model,
    ObjectMeta,
    ObjectName,
    ParameterName,
    Seconds,
    TemplateReference,
    preserved,
)
from mcp_orchestrator.api.cache import CacheMode
from mcp_orchestrator.api.control import Cancellation, CancelMode, Priority
from mcp_orchestrator.api.pods import KeySelector
from mcp_orchestrator.api.retention import TtlSeconds
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrunstatus import RunReason, WorkflowRunStatus


class ParameterSource(Model):
    """A parameter whose value stands elsewhere."""

    name: ParameterName = Field(description="Name of the parameter.")
    secret_key_ref: KeySelector | None = Field(
        None, description="A Secret's key that holds the value. The parameter must be declared sensitive."
    )
    config_map_key_ref: KeySelector | None = Field(None, description="A ConfigMap's key that holds the value.")


class WorkflowRunSpec(Model):
    """What to run, and orders to the run. What to run can't be changed: make a new run instead."""

    template_ref: TemplateReference | None = Field(None, description="The WorkflowTemplate to run.")
    template: Workflow | None = Field(
        None, description="A workflow that stands in the run itself, instead of templateRef."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the workflow's parameters, by name.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    parameters_from: tuple[ParameterSource, ...] = Field(
        (),
        description="Parameters whose values are read from Secrets and ConfigMaps when the run starts. A value is "
        "text; for a parameter of another type it is read as JSON.",
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(p, has(p.secretKeyRef) != has(p.configMapKeyRef))",
                    "message": "every entry needs exactly one of secretKeyRef and configMapKeyRef",
                }
            ],
        },
    )
    timeout_seconds: Seconds | None = Field(
        None, description="Seconds that the run may take from its start. Default: the workflow's timeoutSeconds."
    )
    resume_from: ObjectName | None = Field(
        None,
        description="Name of an ended run of the same namespace. Tasks that succeeded there, and that are the same "
        "here with the same values, are not run again: status.tasks says which, and why the others are.",
    )
    priority: Priority | None = Field(
        None,
        description="Whether the run goes before others when not all can: high, medium or low. It may be changed until "
        "the run starts. Default: the workflow's priority.",
    )
    suspend: bool = Field(
        False,
        description="Hold the run. One that has not started stays in the queue, without a slot; one that runs starts "
        "no further tasks, and gives its slot back when those under way have ended. Set it to false to go on.",
    )
    cancel: CancelMode | None = Field(
        None,
        description="Stop the run for good. Graceful: calls under way are cancelled, then the tasks of finally run. "
        "Immediate: its pod is ended, and nothing more runs. It can't be taken back, and it wins over suspend.",
    )
    ttl_seconds_after_finished: TtlSeconds | None = Field(
        None,
        description="Seconds after its end at which the run is deleted, with all that belongs to it. Of a run that Git "
        "or Helm owns, only its Job and its large results are. It may be changed at any time. Default: the "
        "WorkflowTemplate's ttlSecondsAfterFinished.",
    )
    cache: CacheMode | None = Field(
        None,
        description="Bypass: the run neither takes answers from the cache nor keeps any there. Refresh: it makes every "
        "call, and keeps the answers. Default: it takes what the cache has.",
    )
    idempotency_key: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = Field(
        None,
        description="A word for what is to be done once. Of the runs of a template with the same key one is executed; "
        "the others wait for it and end as it did, with its outputs, also if it was deleted after its end. No secret: "
        "it can be read here.",
    )


IMMUTABLE = (
    "templateRef", "template", "parameters", "parametersFrom", "timeoutSeconds", "resumeFrom", "cache",
    "idempotencyKey",
)  # fmt: skip
"""What of the spec says what to run."""


def _immutable(name: str) -> dict[str, str]:
    return {
        "rule": f"has(self.{name}) == has(oldSelf.{name}) && (!has(self.{name}) || self.{name} == oldSelf.{name})",
        "message": f"{name} is immutable: create a new WorkflowRun instead",
        "reason": "FieldValueForbidden",
    }


SPEC_RULES = (
    {
        "rule": "has(self.templateRef) != has(self.template)",
        "message": "set exactly one of templateRef and template",
    },
    {
        "rule": "!has(self.idempotencyKey) || has(self.templateRef)",
        "message": "idempotencyKey is for runs of a WorkflowTemplate: set templateRef, or leave the key out",
    },
    *(_immutable(name) for name in IMMUTABLE),
    {
        "rule": "!has(oldSelf.cancel) || (has(self.cancel) && self.cancel in [oldSelf.cancel, 'Immediate'])",
        "message": "cancel is immutable once set, but for Immediate in the place of Graceful: create a new WorkflowRun "
        "instead",
        "reason": "FieldValueForbidden",
    },
)
ROOT_RULES = (
    {
        "rule": "!has(oldSelf.status) || !has(oldSelf.status.admittedAt) || "
        "(has(self.spec.priority) == has(oldSelf.spec.priority) && "
        "(!has(self.spec.priority) || self.spec.priority == oldSelf.spec.priority))",
        "message": "spec.priority is immutable while the run has its slot",
        "reason": "FieldValueForbidden",
    },
)


class WorkflowRun(Model):
    """One execution of a workflow, in one Job with one pod."""

    metadata: ObjectMeta
    spec: WorkflowRunSpec
    status: WorkflowRunStatus = Field(default_factory=WorkflowRunStatus)

    @property
    def cancellation(self) -> Cancellation | None:
        """The order to stop the run, the user's or the operator's: the stricter one, of two alike the user's."""
        mode, theirs = self.spec.cancel, self.status.cancellation
        if mode is None or (theirs and theirs.mode.rank > mode.rank):
            return theirs
        return Cancellation(mode=mode, reason=RunReason.CANCELLED, message=f"spec.cancel is {mode}")

    @property
    def suspended(self) -> bool:
        """Whether the run is to be held; an order to stop it counts more."""
        return self.spec.suspend and self.cancellation is None
