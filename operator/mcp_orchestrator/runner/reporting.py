"""What a runner tells of its run: the status fields that are its own. Fed by `execute`, sent by `applying`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from mcp_orchestrator.api.workflowrun import Outcome, RunnerStatus, RunReason, TaskPhase, TaskStatus
from mcp_orchestrator.runner import values, wording
from mcp_orchestrator.runner.records import Ending
from mcp_orchestrator.runner.records import UnitRecord as TaskRecord

_ENDED = (TaskPhase.SUCCEEDED, TaskPhase.FAILED)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A task as it is shown, and how large its result is if that stands in the status (0: it does not)."""

    phase: TaskPhase
    shown: dict[str, Any]
    inline_bytes: int = 0
    preview: str = ""

    def without_result(self) -> dict[str, Any]:
        """The same, with the beginning of the result only."""
        fields = {name: value for name, value in self.shown.items() if name != "result"}
        return fields | {"resultPreview": self.preview} if self.inline_bytes else fields


class Report:
    """The state of a run for its status; `changed` is set at each change."""

    def __init__(self, tasks: Iterable[str], pod_name: str, pod_uid: str, start_time: datetime) -> None:
        self.changed = asyncio.Event()
        self._runner = RunnerStatus(pod_name=pod_name, pod_uid=pod_uid, start_time=_moment(start_time))
        self._entries = {name: _entry(TaskRecord(name)) for name in tasks}
        self._outputs: dict[str, Any] = {}
        self._bare = False

    def update(self, record: TaskRecord) -> None:
        """Take note of a task's change."""
        self._entries[record.name] = _entry(record)
        self.changed.set()

    def close(self, ending: Ending) -> None:
        """Take note of the run's end."""
        self._runner = self._runner.model_copy(
            update={"outcome": ending.outcome, "reason": str(ending.reason), "message": wording.fit(ending.message)}
        )
        # One fragment for good: reports are compared to see whether anything changed.
        self._outputs = {name: orjson.Fragment(values.encode(value)) for name, value in ending.outputs.items()}
        self.changed.set()

    def strip(self, why: str) -> bool:
        """Leave out all that tools said, since the API server does not take it; False if that was done already."""
        if self._bare:
            return False
        self._bare, self._outputs = True, {}
        if self._runner.outcome is not None:
            message = f"the run {self._runner.outcome.lower()}, but its results can't be recorded: {why}"
            update = {
                "outcome": Outcome.FAILED,
                "reason": str(RunReason.RUNNER_FAILED),
                "message": wording.one_line(message),
            }
            self._runner = self._runner.model_copy(update=update)
        return True

    def fields(self) -> dict[str, Any]:
        """The complete set of the runner's status fields, as JSON."""
        ended = sum(entry.phase in _ENDED for entry in self._entries.values())
        fields: dict[str, Any] = {
            "runner": self._runner.wire(),
            "progress": f"{ended}/{len(self._entries)}",
            "tasks": self._tasks(),
        }
        return fields | {"outputs": self._outputs} if self._outputs else fields

    def _tasks(self) -> list[dict[str, Any]]:
        if self._bare:
            spoken = ("result", "resultPreview", "error")
            return [
                {name: value for name, value in entry.shown.items() if name not in spoken}
                for entry in self._entries.values()
            ]
        total = sum(entry.inline_bytes for entry in self._entries.values())
        left_out: set[str] = set()
        for name in sorted(self._entries, key=lambda name: -self._entries[name].inline_bytes):
            if total <= values.INLINE_TOTAL_BYTES:
                break
            left_out.add(name)
            total -= self._entries[name].inline_bytes
        return [entry.without_result() if name in left_out else entry.shown for name, entry in self._entries.items()]


def _entry(record: TaskRecord) -> _Entry:
    fields: dict[str, Any] = {"name": record.name, "phase": record.phase}
    if record.start_time:
        fields["start_time"] = _moment(record.start_time)
    if record.completion_time:
        fields |= {
            "completion_time": _moment(record.completion_time),
            "duration_milliseconds": record.duration_milliseconds,
        }
    if record.error:
        fields["error"] = record.error
    if record.phase != TaskPhase.SUCCEEDED:
        return _Entry(record.phase, TaskStatus(**fields).wire())
    encoded = values.encode(record.result)
    size, preview = len(encoded), values.preview(record.result, encoded)
    fields["result_bytes"] = size
    if size > values.INLINE_BYTES:
        return _Entry(record.phase, TaskStatus(**fields, result_preview=preview).wire())
    shown = TaskStatus(**fields).wire() | {"result": orjson.Fragment(encoded)}
    return _Entry(record.phase, shown, size, preview)


def _moment(time: datetime) -> datetime:
    """To the millisecond: enough to see what came first, and no digits that mean nothing."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
