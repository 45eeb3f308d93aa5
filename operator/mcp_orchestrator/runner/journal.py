"""The runner's log: one line when a task starts and one when it ends. Stands between `execute` and the Report."""

from __future__ import annotations

import logging
from typing import Any

from mcp_orchestrator.api.workflowrun import TaskPhase, WorkflowRun
from mcp_orchestrator.runner.execute import Ending, Reporter, TaskRecord

log = logging.getLogger(__name__)


class Journal:
    """Logs what it passes on to `report`. Never what tools are told or say: that may be anybody's secret."""

    def __init__(self, report: Reporter, run: WorkflowRun, traceparent: str) -> None:
        self._report = report
        self._fields: dict[str, Any] = {
            "kind": "WorkflowRun",
            "namespace": run.metadata.namespace,
            "object_name": run.metadata.name,
            "uid": run.metadata.uid,
        }
        parts = (run.status.traceparent or traceparent).split("-")
        if len(parts) == 4:
            self._fields["trace_id"] = parts[1]

    def update(self, record: TaskRecord) -> None:
        """Log a task's change and pass it on."""
        fields = {**self._fields, "task": record.name}
        if record.duration_milliseconds is not None:
            fields["duration_milliseconds"] = record.duration_milliseconds
        if record.error:
            fields["error_class"] = str(record.error.class_)
        level = logging.WARNING if record.phase == TaskPhase.FAILED else logging.INFO
        log.log(level, "task %s", record.phase.lower(), extra=fields)
        if record.error:
            log.debug("task %s: %s", record.phase.lower(), record.error.message, extra=fields)
        self._report.update(record)

    def close(self, ending: Ending) -> None:
        """Log the run's end."""
        log.info("run %s", ending.outcome.lower(), extra={**self._fields, "reason": str(ending.reason)})
