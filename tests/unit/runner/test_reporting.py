from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Outcome, RunReason, TaskError, TaskPhase, WorkflowRunStatus
from mcp_orchestrator.runner import values, wording
from mcp_orchestrator.runner.execute import Ending, TaskRecord
from mcp_orchestrator.runner.reporting import Report

START = datetime(2026, 11, 24, 12, 0, 0, 987654, tzinfo=UTC)
KIB = 1024


def a_report(*names: str) -> Report:
    return Report(names, "pod", "uid", START)


def wire(report: Report) -> dict[str, Any]:
    """What the API server gets to read."""
    fields: dict[str, Any] = orjson.loads(orjson.dumps(report.fields()))
    WorkflowRunStatus.model_validate(fields)
    return fields


def done(name: str, result: Any) -> TaskRecord:
    return TaskRecord(name, TaskPhase.SUCCEEDED, START, START + timedelta(seconds=2), 2000, result)


def test_at_first_all_tasks_are_pending() -> None:
    assert wire(a_report("a", "b")) == {
        "runner": {"podName": "pod", "podUid": "uid", "startTime": "2026-11-24T12:00:00.987000Z"},
        "progress": "0/2",
        "tasks": [{"name": "a", "phase": "Pending"}, {"name": "b", "phase": "Pending"}],
    }


def test_a_task_shows_its_times_result_and_size() -> None:
    report = a_report("a")
    report.update(done("a", {"n": [1, None]}))
    assert wire(report)["tasks"] == [
        {
            "name": "a",
            "phase": "Succeeded",
            "startTime": "2026-11-24T12:00:00.987000Z",
            "completionTime": "2026-11-24T12:00:02.987000Z",
            "durationMilliseconds": 2000,
            "result": {"n": [1, None]},
            "resultBytes": 14,
        }
    ]


def test_progress_counts_what_was_executed() -> None:
    report = a_report("a", "b", "c", "d")
    report.update(done("a", None))
    report.update(TaskRecord("b", TaskPhase.FAILED, error=TaskError(class_=ErrorClass.TOOL, message="no")))
    report.update(TaskRecord("c", TaskPhase.SKIPPED, error=TaskError(class_=ErrorClass.CANCELLED, message="no")))
    report.update(TaskRecord("d", TaskPhase.RUNNING))
    assert wire(report)["progress"] == "2/4"


def test_the_end_stands_in_the_runner_s_part() -> None:
    report = a_report("a")
    report.close(Ending(Outcome.FAILED, RunReason.TASK_FAILED, 'task "a" failed: Tool: no'))
    assert wire(report)["runner"] | {"startTime": ""} == {
        "podName": "pod",
        "podUid": "uid",
        "startTime": "",
        "outcome": "Failed",
        "reason": "TaskFailed",
        "message": 'task "a" failed: Tool: no',
    }


@pytest.mark.parametrize(
    ("size", "inline"), [pytest.param(32 * KIB, True, id="at the bound"), pytest.param(32 * KIB + 1, False, id="above")]
)
def test_a_result_above_32_kib_shows_its_beginning_only(size: int, inline: bool) -> None:
    report = a_report("a")
    report.update(done("a", "y" * (size - 2)))
    task = wire(report)["tasks"][0]
    assert task["resultBytes"] == size
    assert ("result" in task) == inline
    assert ("resultPreview" in task) != inline
    if not inline:
        assert task["resultPreview"] == "y" * 1018 + "…"


def test_together_the_largest_results_give_way_first() -> None:
    report = a_report(*"abcdefgh")
    for index, name in enumerate("abcdefgh"):
        report.update(done(name, "x" * ((24 + index) * KIB)))
    shown = {task["name"]: "result" in task for task in wire(report)["tasks"]}
    # 24 … 31 KiB: the sum of all is 220 KiB.
    assert shown == {"a": True, "b": True, "c": True, "d": True, "e": True, "f": True, "g": True, "h": False}
    sizes = [len(orjson.dumps(task["result"])) for task in wire(report)["tasks"] if "result" in task]
    assert sum(sizes) <= values.INLINE_TOTAL_BYTES


def test_nothing_changed_is_seen_to_be_nothing() -> None:
    report = a_report("a")
    report.update(done("a", ["é\u2028"] * 100))
    report.close(Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "", {"x": "\u2028"}))
    assert report.fields() == report.fields()


def test_the_largest_report_fits_into_an_object() -> None:
    report = a_report(*(f"t{index}" for index in range(100)))
    for index in range(36):
        report.update(done(f"t{index}", "\U0001f600" * 1_000_000 if index % 2 else "\x7f" * 30_000))
    for index in range(36, 100):
        message = wording.fit("\U0001f600" * 10_000)
        error = TaskError(class_=ErrorClass.TOOL, message=message)
        report.update(TaskRecord(f"t{index}", TaskPhase.FAILED, START, START, 1, None, error))
    report.close(Ending(Outcome.FAILED, RunReason.TASK_FAILED, "x" * 100_000))
    # A template may have 300 KiB at most beside it, and etcd takes 1.5 MiB.
    assert len(orjson.dumps(wire(report))) < 1.1 * KIB * KIB


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(json_values)
def test_any_result_is_shown_as_the_value_that_it_is(value: Any) -> None:
    held = values.plain(value)
    assert orjson.loads(values.encode(held)) == held


@pytest.mark.parametrize(
    ("value", "held"),
    [
        pytest.param(math.nan, None, id="not a number"),
        pytest.param(-math.inf, None, id="infinity"),
        pytest.param(2**63, float(2**63), id="above 64 bits"),
        pytest.param(10**400, None, id="above everything"),
        pytest.param("\ud800x", "?x", id="half a surrogate pair"),
        pytest.param((1, {"a": True}), [1, {"a": True}], id="tuple"),
    ],
)
def test_what_json_readers_disagree_about_is_made_plain(value: Any, held: Any) -> None:
    assert values.plain(value) == held


def test_a_value_may_be_nested_a_hundred_levels_deep() -> None:
    value: Any = 1
    for _ in range(values.DEPTH):
        value = [value]
    assert values.plain(value) == value
    with pytest.raises(values.Unusable):
        values.plain([value])


@pytest.mark.parametrize(
    ("text", "fit"),
    [
        pytest.param("a\x1b[31;1mb\x1b[0mc", "abc", id="colours"),
        pytest.param("a\x1b]0;title\x07b", "ab", id="window title"),
        pytest.param("a\x00\x07\x9b\x7fb", "ab", id="control characters"),
        pytest.param("abc\u202edef\u2066", "abcdef", id="reordering"),
        pytest.param("a\r\nb\tc\n", "a\nb\tc", id="lines and tabs stay"),
        pytest.param("\ud800", "", id="half a surrogate pair"),
        pytest.param("x" * 5000, "x" * 4093 + "…", id="long"),
        pytest.param("😀" * 5000, "😀" * 1023 + "…", id="long in bytes"),
    ],
)
def test_a_text_is_made_fit(text: str, fit: str) -> None:
    assert wording.fit(text) == fit
    assert len(wording.fit(text).encode()) <= wording.MESSAGE_BYTES
