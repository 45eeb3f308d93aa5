from __future__ import annotations

import base64
import math
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.taskstatus import TaskError, TaskPhase
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason, WorkflowRunStatus
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.reports.reporting import BUDGET_BYTES, Identity, Report
from mcp_orchestrator.runner.reports.secrets import Secrets
from mcp_orchestrator.runner.results import recorded, values
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

START = datetime(2026, 11, 24, 12, 0, 0, 987654, tzinfo=UTC)
KIB = 1024


def a_report(*names: str, secrets: tuple[Any, ...] = (), packs: Packs | None = None) -> Report:
    owner = Owner("n", "r", "u1", "r-job")
    return Report(names, Identity("pod", "uid", START), packs or Packs(owner), Secrets(secrets))


def wire(report: Report) -> dict[str, Any]:
    """What the API server gets to read."""
    fields: dict[str, Any] = orjson.loads(orjson.dumps(report.snapshot().fields))
    WorkflowRunStatus.model_validate(fields)
    return fields


def done(name: str, result: Any) -> UnitRecord:
    return UnitRecord(name, TaskPhase.SUCCEEDED, 1, START, START + timedelta(seconds=2), 2000, Answer.of_result(result))


def test_at_first_all_tasks_are_pending() -> None:
    assert wire(a_report("a", "b")) == {
        "runner": {"podName": "pod", "podUid": "uid", "attempt": 1, "startTime": "2026-11-24T12:00:00.987Z"},
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
            "attempts": 1,
            "startTime": "2026-11-24T12:00:00.987Z",
            "completionTime": "2026-11-24T12:00:02.987Z",
            "durationMilliseconds": 2000,
            "result": {"n": [1, None]},
            "resultBytes": 14,
        }
    ]


def test_a_task_shows_what_the_cache_did_and_another_pod_knows_it() -> None:
    report = a_report("a")
    report.update(replace(done("a", 1), attempts=0, cache=CacheUse.HIT))
    (task,) = wire(report)["tasks"]
    assert task["cache"] == "Hit"
    assert "attempts" not in task
    known = recorded.records(WorkflowRunStatus.model_validate(wire(report)))
    assert known["a"].cache == CacheUse.HIT


def test_a_result_from_another_run_is_no_hit() -> None:
    theirs = {"a": replace(done("a", 1), cache=CacheUse.HIT)}
    assert recorded.of_reuse(theirs, {"a": ""}, "earlier")["a"].cache is None


def test_progress_counts_what_was_executed() -> None:
    report = a_report("a", "b", "c", "d")
    report.update(done("a", None))
    report.update(UnitRecord("b", TaskPhase.FAILED, error=TaskError(class_=ErrorClass.TOOL, message="no")))
    report.update(UnitRecord("c", TaskPhase.SKIPPED, reason="WhenFalse", message="no"))
    report.update(UnitRecord("d", TaskPhase.RUNNING))
    assert wire(report)["progress"] == "2/4"


def test_the_end_stands_in_the_runner_s_part() -> None:
    report = a_report("a")
    report.close(Ending(Outcome.FAILED, RunReason.TASK_FAILED, 'task "a" failed: Tool: no'))
    assert wire(report)["runner"] | {"startTime": ""} == {
        "podName": "pod",
        "podUid": "uid",
        "attempt": 1,
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


def test_together_the_largest_results_give_way_first_and_stand_in_packs() -> None:
    report = a_report(*"abcdefgh")
    for index, name in enumerate("abcdefgh"):
        report.update(done(name, "x" * ((24 + index) * KIB)))
    tasks = {task["name"]: task for task in wire(report)["tasks"]}
    # 24 … 31 KiB: the sum of all is 220 KiB.
    assert [name for name, task in tasks.items() if "result" in task] == list("abcdef")
    assert all("resultRef" in task and "resultPreview" in task for task in tasks.values() if "result" not in task)


async def test_a_large_result_stands_in_a_pack_compressed_under_its_digest(tmp_path: Path) -> None:
    packs = Packs(Owner("n", "r", "u1", "r-job"))
    report = a_report("a", packs=packs)
    record = done("a", {"text": "long " * 100_000})
    assert record.answer
    await report.keep(record.answer)
    report.update(record)
    (pack,) = report.snapshot().packs
    task = wire(report)["tasks"][0]
    assert task["resultRef"] == f"r-job-results-0/{record.answer.digest}"
    assert pack["metadata"]["name"] == "r-job-results-0"
    assert pack["metadata"]["ownerReferences"][0]["uid"] == "u1"
    assert pack["immutable"] is True
    (tmp_path / record.answer.digest).write_bytes(base64.b64decode(pack["binaryData"][record.answer.digest]))
    status = WorkflowRunStatus.model_validate({"tasks": [task]})
    found = recorded.records(status, directory=tmp_path)["a"]
    assert found.answer == record.answer
    assert recorded.records(status, directory=tmp_path / "gone")["a"].answer is None


def test_a_pack_is_told_until_it_is_written_and_takes_in_nothing_more() -> None:
    report = a_report("a", "b")
    report.update(done("a", "a" * 40 * KIB))
    assert [pack["metadata"]["name"] for pack in report.snapshot().packs] == ["r-job-results-0"]
    report.update(done("b", "b" * 40 * KIB))
    names = [pack["metadata"]["name"] for pack in report.snapshot().packs]
    assert names == ["r-job-results-0", "r-job-results-1"]
    report.written("r-job-results-0")
    assert [pack["metadata"]["name"] for pack in report.snapshot().packs] == ["r-job-results-1"]


@pytest.mark.parametrize(
    ("total", "size", "words"),
    [
        pytest.param(32 * KIB, 64 * KIB, "and there is room for 32.0 KiB: ask the tool for less", id="of the run"),
        pytest.param(9 * KIB * KIB, 2 * KIB * KIB, "even when compressed, and the limit is 976.6 KiB", id="of one"),
    ],
)
async def test_a_result_without_room_is_refused_in_words(total: int, size: int, words: str) -> None:
    report = a_report("a", packs=Packs(Owner("n", "r", "u1", "r-job"), total_bytes=total))
    noise = random.Random(7).randbytes(size).hex()  # noqa: S311 - noise, the same each time
    with pytest.raises(CallFailed, match=words) as refusal:
        await report.keep(Answer.said(noise))
    assert refusal.value.error_class == ErrorClass.RESULT_TOO_LARGE


def test_a_secret_is_shown_nowhere() -> None:
    report = a_report("a", "b", "c", secrets=("s3cr3t", {"deep": ['with "quotes"']}))
    report.update(done("a", {"echo": "it is s3cr3t", "n": 1}))
    report.update(done("b", "say " + 'with "quotes"' + "x" * 40 * KIB))
    error = TaskError(class_=ErrorClass.TOOL, message="wrong password s3cr3t")
    report.update(UnitRecord("c", TaskPhase.FAILED, error=error))
    report.close(Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "said s3cr3t", {"x": "s3cr3t", "y": 1}))
    shown = report.snapshot()
    assert shown.packs == ()
    text = orjson.dumps(shown.fields).decode()
    assert "s3cr3t" not in text
    assert "quotes" not in text
    assert wire(report)["outputs"] == {"x": "•••", "y": 1}


def test_sensitive_outputs_go_into_a_secret() -> None:
    report = a_report("a")
    report.close(Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "", {"key": "k-1", "n": 2, "open": 3}), ["key", "n"])
    shown = report.snapshot()
    assert wire(report)["outputs"] == {"open": 3}
    assert wire(report)["outputsSecret"] == "r-job-outputs"
    assert shown.secret
    held = {name: base64.b64decode(value).decode() for name, value in shown.secret["data"].items()}
    assert held == {"key": "k-1", "n": "2"}


@pytest.mark.parametrize("answer", [
    pytest.param(Answer.of({"a": 1}), id="structured"),
    pytest.param(Answer.of(None), id="null"),
    pytest.param(Answer.of("text as data"), id="a string as structured content"),
    pytest.param(Answer.said("plain"), id="text"),
    pytest.param(Answer.said('{"a": 1}'), id="text that is JSON"),
    pytest.param(Answer(blocks=({"type": "text", "text": "a"}, {"type": "image", "data": "x"})), id="blocks"),
    pytest.param(Answer((1,), ({"type": "text", "text": "in words"},)), id="both"),
])  # fmt: skip
def test_what_is_on_record_says_the_same_to_expressions(answer: Answer, tmp_path: Path) -> None:
    report = a_report("a")
    report.update(UnitRecord("a", TaskPhase.SUCCEEDED, answer=answer))
    for pack in report.snapshot().packs:
        for key, value in pack["binaryData"].items():
            (tmp_path / key).write_bytes(base64.b64decode(value))
    found = recorded.records(WorkflowRunStatus.model_validate(wire(report)), directory=tmp_path)["a"]
    assert found.answer
    assert found.answer.content() == answer.content()


def test_a_status_keeps_within_its_budget_whatever_tools_say() -> None:
    report = a_report(*(f"t{index}" for index in range(100)))
    for index in range(36):
        report.update(done(f"t{index}", "\U0001f600" * 100_000 if index % 2 else "\x7f" * 30_000))
    for index in range(36, 100):
        error = TaskError(class_=ErrorClass.TOOL, message=wording.fit("\U0001f600" * 10_000))
        report.update(UnitRecord(f"t{index}", TaskPhase.FAILED, 3, START, START, 1, error=error))
    for index in range(900):
        report.update(done(f"t0[{index}]", {"n": index, "words": "w" * 50}))
    report.close(Ending(Outcome.FAILED, RunReason.TASK_FAILED, "x" * 100_000))
    assert len(orjson.dumps(report.snapshot().fields)) <= BUDGET_BYTES
    assert len(wire(report)["tasks"]) == 1000


def test_as_many_names_as_a_run_may_have_fit_into_its_status() -> None:
    report, task = a_report("t" * 63), "t" * 63
    board = Board({}, report, lambda: START, 1000)
    units = [f"{task}[{number:0120}]" for number in range(1000)]
    most = next(count for count in range(1000, 0, -1) if not board.take_in(units[:count]))
    for unit in units[:most]:
        report.update(done(unit, "x" * 200))
    report.close(Ending(Outcome.FAILED, RunReason.TASK_FAILED, "x" * 4096))
    assert most > 500
    assert len(orjson.dumps(report.snapshot().fields)) <= BUDGET_BYTES
    assert len(wire(report)["tasks"]) == most + 1


def test_references_that_no_status_has_room_for_give_way_where_they_are_of_items() -> None:
    bucket, namespace = "b" * 63, "n" * 63
    packs = Packs(Owner(namespace, "r", "u1", "r-job"))
    report = a_report("t0", "t1", packs=packs)
    for index in range(1000):
        record = done("t1" if index == 0 else f"t0[{index}]", f"{index}" + "x" * 40 * KIB)
        assert record.answer
        packs.know(f"s3://{bucket}/{'p' * 63}/{namespace}/{'u' * 36}/{record.answer.digest}")
        report.update(record)
    tasks = {task["name"]: task for task in wire(report)["tasks"]}
    assert len(orjson.dumps(report.snapshot().fields)) <= BUDGET_BYTES
    assert len(tasks["t1"]["resultRef"]) == 266
    assert "resultRef" not in tasks["t0[1]"]


def test_items_and_inner_tasks_stand_behind_their_task() -> None:
    report = a_report("a", "b")
    for name in ("b[0]", "a/x", "b", "a", "b[1]/y", "a/z"):
        report.update(UnitRecord(name, TaskPhase.RUNNING))
    assert [task["name"] for task in wire(report)["tasks"]] == ["a", "a/x", "a/z", "b", "b[0]", "b[1]/y"]


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
