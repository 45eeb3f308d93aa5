"""What is on record of a run, back as the engine's records: for a pod that goes on, or a run that resumes another.

Called by `main` and `resuming`. Results come from the status, from the packs that the pod has mounted, or from the
object store.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.runner.results import packing
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import UnitRecord, task_of

DIRECTORY = Path("/var/run/mcp-orchestrator/results")
"""Where the pod has the packs of its run and of the one that it resumes: a file for each result, by its digest."""


def records(
    status: WorkflowRunStatus, stored: Mapping[str, Answer] | None = None, directory: Path = DIRECTORY
) -> dict[str, UnitRecord]:
    """The units that are on record. One that succeeded has no answer if that was secret, large and lost, or derived.

    `stored` are answers out of the object store, by their references.
    """
    found = stored or {}
    return {task.name: _record(task, found.get(task.result_ref or ""), directory) for task in status.tasks}


def references(status: WorkflowRunStatus) -> tuple[str, ...]:
    """Where results of the run stand."""
    return tuple(task.result_ref for task in status.tasks if task.result_ref)


def _record(task: TaskStatus, stored: Answer | None, directory: Path) -> UnitRecord:
    return UnitRecord(
        name=task.name,
        phase=task.phase,
        attempts=task.attempts or 0,
        start_time=task.start_time,
        completion_time=task.completion_time,
        duration_milliseconds=task.duration_milliseconds,
        answer=(stored or _answer(task, directory)) if task.phase == TaskPhase.SUCCEEDED else None,
        error=task.error,
        reason=task.reason,
        message=task.message,
        progress=task.progress,
        reused_from=task.reused_from,
        cache=task.cache,
    )


def _answer(task: TaskStatus, directory: Path) -> Answer | None:
    if task.result_text:
        return Answer.said(task.result_text)
    if "result" in task.model_fields_set:
        return Answer.of_result(task.result)
    if not task.result_ref:
        return None
    digest = task.result_ref.rpartition("/")[2]
    try:
        return packing.unpack((directory / digest).read_bytes(), digest)
    except (OSError, packing.Unreadable):
        return None  # the pack was deleted or changed: the engine asks again where that is harmless


def of_reuse(theirs: Mapping[str, UnitRecord], why_not: Mapping[str, str], run_name: str) -> dict[str, UnitRecord]:
    """The records of another run that this one takes over, and why the other tasks run again.

    `why_not` has every task of this run: an empty text for one that is taken over together with its items and inner
    tasks, as far as they succeeded.
    """
    found: dict[str, UnitRecord] = {}
    for name, why in why_not.items():
        if why:
            found[name] = UnitRecord(name, reason="NotReused", message=why)
    for unit, record in theirs.items():
        if why_not.get(task_of(unit)) == "" and record.phase == TaskPhase.SUCCEEDED:
            found[unit] = _taken(record, run_name)
    return found


def _taken(record: UnitRecord, run_name: str) -> UnitRecord:
    return replace(record, reused_from=record.reused_from or run_name, reason=None, message=None, cache=None)
