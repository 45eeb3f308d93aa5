"""What a pod makes of the record of an earlier one. That it holds through any crash: test_crashes.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.builders import a_spec, a_task
from tests.unit.cluster import virtual_time
from tests.unit.runner.scripted_tools import START, Records, ScriptedTools, after, failing, run, servers

from mcp_orchestrator.api.task import ForEach
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.runner.engine import execute
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import UnitRecord

UNSAFE = "write"


def test_a_call_that_may_have_been_made_by_a_lost_pod_is_not_made_again() -> None:
    recorded = {"a": UnitRecord("a", TaskPhase.RUNNING, attempts=1, start_time=START)}
    workflow = a_spec(a_task("a", tool=UNSAFE), a_task("b", depends_on=["a"]))
    ending, records = run(workflow, tools := ScriptedTools(), recorded=recorded, unsafe=(UNSAFE,))
    assert tools.calls == []
    assert records.last_phases() == {"a": "Indeterminate", "b": "Skipped"}
    assert "the pod that made the call was lost" in records.words("a")
    assert ending
    assert ending.reason == "TaskIndeterminate"


def test_what_nobody_knows_stays_so_although_its_arguments_are_lost_too() -> None:
    recorded = {
        "a": UnitRecord("a", TaskPhase.SUCCEEDED, attempts=1, sensitive=True),
        "b": UnitRecord("b", TaskPhase.RUNNING, attempts=1, start_time=START),
    }
    workflow = a_spec(a_task("a", tool=UNSAFE), a_task("b", tool=UNSAFE, arguments={"x": "${{ tasks.a.result }}"}))
    _, records = run(workflow, tools := ScriptedTools(), recorded=recorded, unsafe=(UNSAFE,))
    assert tools.calls == []
    assert records.last("b").phase == TaskPhase.INDETERMINATE


def test_what_other_units_came_to_is_told_again_by_the_new_pod() -> None:
    workflow = a_spec(a_task("c", arguments={}, for_each=ForEach(items=["p", "q"])))
    _, first = run(workflow, ScriptedTools({"c": after(1, 7)}))
    recorded = first.recorded()
    recorded["c"] = replace(recorded["c"], answer=None, derived=False)
    _, again = run(workflow, tools := ScriptedTools(), recorded=recorded)
    assert tools.calls == []
    assert again.last("c") == first.last("c")


def test_a_repeatable_call_of_a_lost_pod_is_made_again_and_keeps_its_start() -> None:
    recorded = {"a": UnitRecord("a", TaskPhase.RUNNING, attempts=1, start_time=START - timedelta(seconds=60))}
    _, records = run(a_spec(a_task("a")), ScriptedTools({"a": after(1, 5)}), recorded=recorded)
    assert records.last("a").attempts == 2
    assert records.last("a").duration_milliseconds == 61_000


@pytest.mark.parametrize(("unsafe", "calls"), [((), ["a", "b"]), ((UNSAFE,), [])])
def test_a_result_that_is_not_on_record_is_asked_for_again_only_where_that_is_harmless(
    unsafe: tuple[str, ...], calls: list[str]
) -> None:
    recorded = {"a": UnitRecord("a", TaskPhase.SUCCEEDED, attempts=1, sensitive=True)}
    workflow = a_spec(a_task("a", tool=UNSAFE), a_task("b", arguments={"x": "${{ tasks.a.result }}"}))
    _, records = run(workflow, tools := ScriptedTools(), recorded=recorded, unsafe=unsafe)
    assert [call.unit for call in tools.calls] == calls
    if not calls:
        assert "tasks.a.result" in records.words("b")


def test_a_failure_on_record_still_ends_the_run() -> None:
    first, records = run(a_spec(a_task("a"), a_task("b")), ScriptedTools({"a": failing(1), "b": after(9, 1)}))
    again, resumed = run(a_spec(a_task("a"), a_task("b")), tools := ScriptedTools(), recorded=records.recorded())
    assert tools.calls == []
    assert again == first
    assert resumed.last_phases() == records.last_phases()


def test_everything_on_record_is_told_again_at_once() -> None:
    """The new pod's report is a new one: what is not in it would vanish from the status."""
    recorded = {"a": UnitRecord("a", TaskPhase.SUCCEEDED, attempts=1, answer=Answer.of(1))}
    records = Records()

    async def main() -> None:
        workflow = a_spec(a_task("a"), a_task("b"))
        around = Surroundings(servers(workflow), {}, recorded)
        await execute.execute(workflow, {}, around, ScriptedTools(), records, timeout_seconds=60)

    virtual_time.run(main())
    assert records.seen[0] == recorded["a"]
