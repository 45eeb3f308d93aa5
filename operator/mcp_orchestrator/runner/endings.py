"""How a run ends before its first task could start. Called by `main`."""

from __future__ import annotations

from collections.abc import Iterable

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Outcome, RunReason, TaskError, TaskPhase
from mcp_orchestrator.api.workflowtemplate import Mistake, WorkflowTemplateSpec
from mcp_orchestrator.runner import wording
from mcp_orchestrator.runner.execute import Ending, Reporter, TaskRecord


def not_begun(workflow: WorkflowTemplateSpec, mistakes: Iterable[Mistake], report: Reporter) -> Ending:
    """The end of a run whose parameters do not fit its workflow; the operator admits none such."""
    message = wording.fit("; ".join(map(str, mistakes)))
    for task in workflow.tasks:
        error = TaskError(class_=ErrorClass.CANCELLED, message=message)
        report.update(TaskRecord(task.name, TaskPhase.SKIPPED, error=error))
    return Ending(Outcome.FAILED, RunReason.INVALID_PARAMETER, message)
