"""Log lines of our programs, for people."""

from __future__ import annotations

import json

import pytest

from mcp_orchestrator.client import loglines


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        pytest.param(
            {"message": "task failed", "task": "a", "error_class": "Tool"}, "task failed  a  Tool", id="facts"
        ),
        pytest.param({"message": "run failed", "reason": "TaskFailed"}, "run failed  TaskFailed", id="a reason"),
        pytest.param({"message": "run succeeded", "reason": "Succeeded"}, "run succeeded", id="nothing twice"),
        pytest.param({"message": "gone", "level": "ERROR"}, "ERROR gone", id="no good news"),
    ],
)
def test_a_line_is_told_with_the_facts_that_it_does_not_say_itself(fields: dict[str, str], told: str) -> None:
    line = json.dumps({"time": "2026-11-26T23:05:58.001Z", "level": "INFO", **fields})

    assert loglines.told(line) == f"23:05:58  {told}"
