"""The runner's log: one line when a unit starts and one when it ends. Stands between the engine and the Report."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.runner.reports.reporting import Report
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

log = logging.getLogger(__name__)


class Journal:
    """Logs what it passes on to the report. Never what tools are told or say: that may be anybody's secret."""

    def __init__(
        self, report: Report, commit: Callable[[], Awaitable[None]], run: WorkflowRun, traceparent: str
    ) -> None:
        self._report = report
        self._commit = commit
        self._fields: dict[str, Any] = {
            "kind": "WorkflowRun",
            "namespace": run.metadata.namespace,
            "object_name": run.metadata.name,
            "uid": run.metadata.uid,
        }
        self._told: dict[str, TaskPhase] = {}
        parts = (run.status.traceparent or traceparent).split("-")
        if len(parts) == 4:
            self._fields["trace_id"] = parts[1]

    def update(self, record: UnitRecord) -> None:
        """Log a unit's change of phase, and pass the record on."""
        if self._told.get(record.name) != record.phase:
            self._told[record.name] = record.phase
            self._log(record)
        self._report.update(record)

    def conceal(self, value: Any) -> None:
        """Pass it on."""
        self._report.conceal(value)

    async def keep(self, answer: Answer) -> None:
        """Pass it on. Raises CallFailed if there is no room."""
        await self._report.keep(answer)

    def hides(self, encoded: bytes) -> bool:
        """Pass it on."""
        return self._report.hides(encoded)

    async def commit(self) -> None:
        """Wait until all is on record. Raises Stopped if the run is lost."""
        await self._commit()

    def _log(self, record: UnitRecord) -> None:
        fields = {**self._fields, "task": record.name}
        if record.duration_milliseconds is not None:
            fields["duration_milliseconds"] = record.duration_milliseconds
        if record.attempts > 1:
            fields["attempts"] = record.attempts
        if record.error:
            fields["error_class"] = str(record.error.class_)
        if record.reason:
            fields["reason"] = record.reason
        if record.cache:
            fields["cache"] = str(record.cache)
        level = logging.WARNING if record.phase.failed else logging.INFO
        log.log(level, "task %s", record.phase.lower(), extra=fields)
        if record.error:
            log.debug("task %s: %s", record.phase.lower(), record.error.message, extra=fields)

    def close(self, ending: Ending) -> None:
        """Log the run's end."""
        log.info("run %s", ending.outcome.lower(), extra={**self._fields, "reason": str(ending.reason)})
