"""The tasks of a run while it goes on: a table that is drawn anew on a terminal, a line for each news elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.planning import wording
from mcp_orchestrator.planning.runs import runstatus

_LOOKS = {
    TaskPhase.PENDING: ("·", "dim"),
    TaskPhase.RUNNING: ("▸", "yellow"),
    TaskPhase.SUCCEEDED: ("✓", "green"),
    TaskPhase.FAILED: ("✗", "red"),
    TaskPhase.INDETERMINATE: ("?", "red"),
    TaskPhase.SKIPPED: ("-", "dim"),
}
MOST_LINES = 40
"""Of the table: a terminal can't draw anew what has left its top."""


class Progress:
    """Shows tasks. `head` is told once, before the first of them."""

    def __init__(self, terminal: Terminal, head: str = "") -> None:
        self._terminal = terminal
        self._head = head
        self._drawn = 0
        self._told: dict[str, TaskPhase] = {}

    def show(self, tasks: Sequence[TaskStatus], now: datetime) -> None:
        """The tasks as they stand."""
        if self._head:
            self._terminal.line(self._head)
            self._head = ""
        if self._terminal.columns:
            self._draw(tasks, now)
        else:
            self._tell(tasks, now)

    def tell(self, news: str) -> None:
        """A line for itself: on a terminal above the table, which is drawn anew by the next `show`."""
        if self._drawn:
            self._terminal.back(self._drawn)
            self._drawn = 0
        self._terminal.line(news)

    def _draw(self, tasks: Sequence[TaskStatus], now: datetime) -> None:
        lines = [*table(tasks, self._terminal, now)]
        if len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], self._terminal.paint(f"  … and {len(lines) - MOST_LINES} more", "dim")]
        if self._drawn:
            self._terminal.back(self._drawn)
        for line in lines:
            self._terminal.line(line)
        self._drawn = len(lines)

    def _tell(self, tasks: Sequence[TaskStatus], now: datetime) -> None:
        for task in tasks:
            if self._told.get(task.name) == task.phase or task.phase == TaskPhase.PENDING:
                continue
            self._told[task.name] = task.phase
            words = "  ".join(part for part in (f"{task.name}: {task.phase}", _time(task, now), _note(task)) if part)
            self._terminal.line(words)


def table(tasks: Sequence[TaskStatus], terminal: Terminal, now: datetime) -> list[str]:
    """A line for each task: its phase, name, time, and what is worth knowing."""
    columns = zip(*(_cells(task, now) for task in tasks), strict=True)
    widths = [max(len(part) for part in column) for column in columns]
    room = terminal.columns - sum(widths[:2]) - 8 if terminal.columns else 0
    lines = []
    for task in tasks:
        mark, colour = _LOOKS[task.phase]
        name, time, note = _cells(task, now)
        note = wording.cut(note, room) if room > 20 else note
        line = f"  {terminal.paint(mark, colour)} {name:<{widths[0]}}  {time:>{widths[1]}}  {note}"
        lines.append(line.rstrip())
    return lines


def _cells(task: TaskStatus, now: datetime) -> tuple[str, str, str]:
    return task.name, _time(task, now), _note(task)


def _time(task: TaskStatus, now: datetime) -> str:
    if task.duration_milliseconds is not None:
        return runstatus.human(timedelta(milliseconds=task.duration_milliseconds))
    return runstatus.human(max(timedelta(0), now - task.start_time)) if task.start_time else ""


def _note(task: TaskStatus) -> str:
    if task.error:
        text = f"{task.error.class_}: {task.error.message}"
    elif task.phase == TaskPhase.SKIPPED:
        text = task.message or task.reason or ""
    else:
        attempts = f"attempt {task.attempts}" if (task.attempts or 0) > 1 else ""
        reused = f"taken from {task.reused_from}" if task.reused_from else ""
        cached = "from the cache" if task.cache == CacheUse.HIT else ""
        text = ", ".join(part for part in (task.progress, attempts, reused, cached) if part)
    return wording.one_line(text, 1024)
