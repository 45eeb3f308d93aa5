"""How a run ends before its first task could start. Called by `main`."""

from __future__ import annotations

from collections.abc import Iterable

from mcp_orchestrator.api.taskstatus import SkipReason, TaskPhase
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.api.workflowtemplate import Mistake
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.results.records import Ending, Reporter, UnitRecord


def not_begun(workflow: Workflow, mistakes: Iterable[Mistake], report: Reporter) -> Ending:
    """The end of a run whose parameters do not fit its workflow; the operator admits none such."""
    message = wording.fit("; ".join(map(str, mistakes)))
    for task in workflow.every_task:
        report.update(UnitRecord(task.name, TaskPhase.SKIPPED, reason=SkipReason.RUN_FAILED, message=message))
    return Ending(Outcome.FAILED, RunReason.INVALID_PARAMETER, message)
