"""What became of a run, in the form that pipelines read: workflow_results.json. Written for --results-dir."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.client.exits import Failed

NAME = "workflow_results.json"


@dataclass(frozen=True, slots=True)
class WorkflowResult:
    """What became of a run."""

    run: str
    workflow: str
    status: str
    """completed, failed or cancelled."""
    execution_time: int
    """Milliseconds from its start to its end."""
    tasks_completed: int
    """Tasks that succeeded; items and tasks of nested workflows are not counted."""
    tasks_total: int
    outputs: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""
    """Why it failed, or was cancelled."""

    @property
    def succeeded(self) -> bool:
        """Whether the run did what it should."""
        return self.status == "completed"

    def write(self, directory: str) -> Path:
        """Write it below the directory: whole, or not at all. Raises Failed."""
        path = Path(directory) / NAME
        part = path.with_suffix(".part")
        try:
            part.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            part.replace(path)
        except OSError as error:
            with suppress(OSError):
                part.unlink()
            raise Failed(f"{self.run} {self.status}, but {path} can't be written: {_why(error)}") from error
        return path


def prepare(directory: str) -> None:
    """Make the directory, and see before a run starts that its result can be written there. Raises Failed."""
    try:
        Path(directory).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise Failed(f"--results-dir {directory}: nothing can be written there: {_why(error)}") from error


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def counted(tasks: Iterable[TaskStatus]) -> tuple[int, int]:
    """How many of the workflow's own tasks succeeded, and how many there are."""
    own = [task for task in tasks if task.own]
    return sum(task.phase == TaskPhase.SUCCEEDED for task in own), len(own)
