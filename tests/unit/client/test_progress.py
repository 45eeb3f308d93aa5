"""What the command line tells of the tasks of a run, where lines are read by a program."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import pytest

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.client.progress import Progress
from mcp_orchestrator.client.terminal import Terminal

NOW = datetime(2026, 11, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, "a: Succeeded", id="nothing of note"),
        pytest.param({"attempts": 2}, "a: Succeeded  attempt 2", id="a call that was repeated"),
        pytest.param({"cache": CacheUse.HIT}, "a: Succeeded  from the cache", id="a hit"),
        pytest.param({"cache": CacheUse.MISS, "attempts": 1}, "a: Succeeded", id="a miss"),
        pytest.param({"reused_from": "r-1", "progress": "2/2"}, "a: Succeeded  2/2, taken from r-1", id="reused"),
    ],
)
def test_a_task_that_ended_is_told_with_how_it_came_to_its_result(fields: dict[str, Any], expected: str) -> None:
    out = io.StringIO()
    Progress(Terminal(out)).show([TaskStatus(name="a", phase=TaskPhase.SUCCEEDED, **fields)], NOW)
    assert out.getvalue() == f"{expected}\n"
