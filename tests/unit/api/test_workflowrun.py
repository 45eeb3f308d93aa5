from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mcp_orchestrator.api.workflowrunstatus import RunnerStatus, WorkflowRunStatus

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("minutes", "paused", "spent"),
    [
        pytest.param(None, None, 0, id="a run that never started"),
        pytest.param(10, None, 600, id="one that was never paused"),
        pytest.param(10, 240, 360, id="a pause does not count"),
        pytest.param(1, 61, 0, id="clocks that differ give no time back"),
        pytest.param(-1, None, 0, id="nor does a start in the future"),
    ],
)
def test_what_counts_against_the_time_out(minutes: int | None, paused: int | None, spent: float) -> None:
    start = None if minutes is None else NOW - timedelta(minutes=minutes)
    runner = RunnerStatus(pod_name="p", pod_uid="u", start_time=start) if start else None
    assert WorkflowRunStatus(runner=runner, paused_seconds=paused).spent_seconds(NOW) == spent
