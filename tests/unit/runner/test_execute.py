"""The engine on graphs of plain tasks: order, failures, interruptions, outputs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task, an_output
from tests.unit.cluster import virtual_time
from tests.unit.runner.scripted_tools import START, Records, Script, ScriptedTools, after, failing, run, servers

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.control.stop import Stop, Stopped
from mcp_orchestrator.runner.engine import execute, gate
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.records import Ending


def test_a_task_starts_the_moment_its_own_dependencies_are_done() -> None:
    workflow = a_spec(
        a_task("fast"),
        a_task("slow"),
        a_task("after-fast", depends_on=("fast",)),
        a_task("after-slow", depends_on=("slow",)),
        a_task("last", depends_on=("after-fast", "after-slow")),
    )
    tools = ScriptedTools({"fast": after(1, "f"), "slow": after(10, "s"), "after-fast": after(2, None)})
    ending, records = run(workflow, tools)
    assert ending == Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "5 tasks succeeded")
    assert tools.began == {"fast": 0, "slow": 0, "after-fast": 1, "after-slow": 10, "last": 10}
    assert records.last("slow").duration_milliseconds == 10_000
    assert records.last("after-fast").start_time == START + timedelta(seconds=1)
    assert records.last("after-fast").completion_time == START + timedelta(seconds=3)


def test_results_reach_later_arguments_and_the_outputs() -> None:
    workflow = a_spec(
        a_task("search", arguments={"query": "${{ params.topic }}"}),
        a_task("write", arguments={"lines": "${{ tasks.search.result.hits }}", "n": "got ${{ params.topic }}"}),
        outputs=(an_output("first", "${{ tasks.search.result.hits[0] }}"), an_output("fixed", {"a": [1]})),
    )
    ending, _ = run(workflow, tools := ScriptedTools({"search": after(1, {"hits": ["a", "b"]})}), params={"topic": "x"})
    assert [dict(call.arguments) for call in tools.calls] == [{"query": "x"}, {"lines": ["a", "b"], "n": "got x"}]
    assert ending.outputs == {"first": "a", "fixed": {"a": [1]}}


def test_a_call_tells_server_tool_and_the_task_s_own_time_out() -> None:
    workflow = a_spec(a_task("a", server="git", tool="git_log", arguments={}, timeout_seconds=7), a_task("b"))
    run(workflow, tools := ScriptedTools())
    assert tools.calls[0] == Call("a", "git", "git_log", {}, 7, 1)
    assert tools.calls[1].timeout_seconds == 30


def test_after_a_failure_nothing_starts_and_what_is_under_way_may_finish() -> None:
    workflow = a_spec(
        a_task("bad"),
        a_task("long"),
        a_task("child", depends_on=("bad",)),
        a_task("grandchild", depends_on=("child",)),
        a_task("other", depends_on=("long",)),
    )
    tools = ScriptedTools({"bad": failing(1, "no such page"), "long": after(5, "done")})
    ending, records = run(workflow, tools)
    assert ending
    assert ending.outcome == Outcome.FAILED
    assert ending.reason == RunReason.TASK_FAILED
    assert ending.message == 'task "bad" failed: Tool: no such page'
    assert set(tools.began) == {"bad", "long"}
    assert tools.cancelled == []
    assert records.last_phases() == {
        "bad": "Failed",
        "long": "Succeeded",
        "child": "Skipped",
        "grandchild": "Skipped",
        "other": "Skipped",
    }
    assert {name: records.words(name) for name in ("bad", "child", "grandchild", "other")} == {
        "bad": "Tool: no such page",
        "child": 'DependencyNotMet: it needs task "bad", which failed',
        "grandchild": 'DependencyNotMet: it needs task "child", which was skipped',
        "other": 'RunFailed: the run stopped after task "bad" failed',
    }


def test_the_first_failure_names_the_run_s_end_even_if_more_go_wrong_later() -> None:
    workflow = a_spec(a_task("second"), a_task("first"), a_task("endless"))
    tools = ScriptedTools({"first": failing(1, "one"), "second": failing(2, "two"), "endless": after(10**6, None)})
    ending, records = run(workflow, tools, timeout_seconds=60)
    assert ending.message == 'task "first" failed: Tool: one'
    assert ending.reason == RunReason.TASK_FAILED
    error = records.last("endless").error
    assert error
    assert error.class_ == ErrorClass.TIMEOUT


def test_a_run_that_takes_too_long_cancels_its_calls_and_says_why() -> None:
    workflow = a_spec(a_task("done"), a_task("long"), a_task("never", depends_on=("long",)))
    ending, records = run(workflow, tools := ScriptedTools({"long": after(1000, None)}), timeout_seconds=60)
    assert tools.cancelled == ["long"]
    assert tools.ended["long"] == 60
    words = "the run took longer than its time-out of 60 s"
    assert ending == Ending(Outcome.FAILED, RunReason.TIMED_OUT, words)
    assert records.last_phases() == {"done": "Succeeded", "long": "Failed", "never": "Skipped"}
    assert records.words("long") == f"Timeout: {words}"
    assert records.words("never") == f"RunStopped: {words}"


def test_a_stopped_run_leaves_what_is_open_for_another_pod() -> None:
    workflow = a_spec(a_task("done"), a_task("long"), a_task("never", depends_on=("long",)))
    ending, records = run(workflow, tools := ScriptedTools({"long": after(1000, None)}), stop_after=60)
    assert ending is None
    assert tools.cancelled == ["long"]
    assert records.last_phases() == {"done": "Succeeded", "long": "Running"}


def test_a_stopped_run_waits_for_calls_under_way_and_starts_no_other() -> None:
    workflow = a_spec(a_task("quick"), a_task("long"), a_task("never", depends_on=("quick",)))
    tools = ScriptedTools({"quick": after(65, "made it"), "long": after(1000, None)})
    ending, records = run(workflow, tools, stop_after=60, patience_seconds=20)
    assert ending is None
    assert tools.cancelled == ["long"]
    assert tools.ended["long"] == 80
    assert records.last_phases() == {"quick": "Succeeded", "long": "Running"}


def test_a_run_that_has_done_everything_when_it_is_asked_to_stop_just_ends() -> None:
    ending, _ = run(a_spec(a_task("a")), ScriptedTools({"a": after(65, 1)}), stop_after=60, patience_seconds=20)
    assert ending == Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "1 task succeeded")


def test_a_stop_that_was_set_already_starts_nothing() -> None:
    records, tools = Records(), ScriptedTools()
    workflow = a_spec(a_task("a"), a_task("b", depends_on=("a",)))

    async def main() -> None:
        stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        stop.set_result(Stop("enough"))
        around = Surroundings(servers(workflow))
        with pytest.raises(Stopped, match="enough"):
            await execute.execute(workflow, {}, around, tools, records, timeout_seconds=60, stop=stop)

    virtual_time.run(main())
    assert tools.calls == []
    assert records.seen == []


def test_a_call_that_ends_well_although_it_was_cancelled_counts() -> None:
    async def stubborn(_: Call) -> Any:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "made it"

    ending, records = run(a_spec(a_task("a")), ScriptedTools({"a": stubborn}), timeout_seconds=60)
    assert ending.reason == RunReason.TIMED_OUT
    assert records.last("a").phase == TaskPhase.SUCCEEDED
    assert records.last("a").answer.result == "made it"


def test_a_call_that_can_not_be_cancelled_does_not_hold_up_the_end() -> None:
    async def deaf(_: Call) -> Any:
        until = asyncio.get_running_loop().time() + 100
        while (left := until - asyncio.get_running_loop().time()) > 0:
            try:
                await asyncio.sleep(left)
            except asyncio.CancelledError:
                continue

    records = Records()
    ended_at = 0.0

    async def main() -> None:
        nonlocal ended_at
        tools = ScriptedTools({"a": deaf})
        workflow = a_spec(a_task("a"))
        await execute.execute(workflow, {}, Surroundings(servers(workflow)), tools, records, timeout_seconds=60)
        ended_at = asyncio.get_running_loop().time()

    virtual_time.run(main())
    assert ended_at == 60 + gate.LEAVE_SECONDS
    assert records.last("a").phase == TaskPhase.FAILED


def test_an_expression_that_fails_is_the_task_s_failure_and_calls_nothing() -> None:
    workflow = a_spec(a_task("a"), a_task("b", arguments={"x": "${{ tasks.a.result.missing }}"}))
    ending, records = run(workflow, tools := ScriptedTools({"a": after(0, {})}))
    assert [call.unit for call in tools.calls] == ["a"]
    error = records.last("b").error
    assert error
    assert error.class_ == ErrorClass.EXPRESSION
    assert "tasks.a.result.missing" in error.message
    assert ending.reason == RunReason.TASK_FAILED


def test_an_error_that_nobody_foresaw_fails_the_task_and_not_the_process() -> None:
    async def broken(_: Call) -> Any:
        raise KeyError("oops")

    ending, records = run(a_spec(a_task("a"), a_task("b")), ScriptedTools({"a": broken, "b": after(3, 1)}))
    assert ending.message == "task \"a\" failed: Runner: the runner itself failed: KeyError: 'oops'"
    assert records.last("b").phase == TaskPhase.SUCCEEDED


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        pytest.param(
            (an_output("x", "${{ tasks.a.result.nothing }}"),), ['output "x" failed', "tasks.a.result.nothing"], id="no"
        ),
        pytest.param(
            (an_output("x", "${{ tasks.a.result.big }}"),), ['output "x" has 39.1 KiB', "limit is 32.0 KiB"], id="big"
        ),
        pytest.param(
            tuple(an_output(f"x{i}", "${{ tasks.a.result.fits }}") for i in range(7)),
            ["the outputs have 210.0 KiB together", "limit is 64.0 KiB"],
            id="together",
        ),
    ],
)
def test_outputs_that_can_not_be_had_fail_the_run(outputs: Any, words: list[str]) -> None:
    result = {"big": "x" * 40_000, "fits": "x" * (30 * 1024 - 2)}
    ending, records = run(a_spec(a_task("a"), outputs=outputs), ScriptedTools({"a": after(0, result)}))
    assert ending.reason == RunReason.OUTPUT_FAILED
    assert records.last("a").phase == TaskPhase.SUCCEEDED
    assert ending.outputs == {}
    for word in words:
        assert word in ending.message


def test_tasks_that_wait_for_each_other_end_the_run_instead_of_hanging_it() -> None:
    workflow = a_spec(a_task("a", depends_on=("b",)), a_task("b", depends_on=("a",)))
    ending, records = run(workflow, ScriptedTools())
    assert ending.message == 'task "a" failed: Expression: these tasks wait for each other: a → b → a'
    assert records.last_phases() == {"a": "Failed", "b": "Failed"}


@pytest.mark.parametrize("size", [pytest.param(5_000_000, id="large results pass in memory")])
def test_a_later_task_gets_the_whole_of_a_large_result(size: int) -> None:
    workflow = a_spec(a_task("a"), a_task("b", arguments={"text": "${{ tasks.a.result }}"}))
    run(workflow, tools := ScriptedTools({"a": after(0, "x" * size)}))
    assert len(tools.calls[1].arguments["text"]) == size > values.INLINE_BYTES


@st.composite
def workflows(draw: st.DrawFn) -> tuple[Workflow, dict[str, Script], dict[str, bool]]:
    """A random graph, how long each of its tasks takes, and which of them fail."""
    count = draw(st.integers(1, 12))
    names = [f"t{index}" for index in range(count)]
    tasks = []
    for index, name in enumerate(names):
        needs = tuple(draw(st.sets(st.sampled_from(names[:index]), max_size=4))) if index else ()
        cut = draw(st.integers(0, len(needs)))
        arguments = {f"a{i}": f"${{{{ tasks.{other}.result }}}}" for i, other in enumerate(needs[cut:])}
        tasks.append(a_task(name, depends_on=needs[:cut], arguments=arguments))
    order = draw(st.permutations(tasks))
    fails = {name: draw(st.integers(0, 9)) == 0 for name in names}
    seconds = {name: draw(st.integers(0, 5)) for name in names}
    answers = {name: failing(seconds[name]) if fails[name] else after(seconds[name], name) for name in names}
    return a_spec(*order, max_parallel_tasks=draw(st.integers(1, 5))), answers, fails


@given(workflows())
def test_every_graph_is_walked_in_order_within_its_limit_and_always_the_same_way(
    drawn: tuple[Workflow, dict[str, Script], dict[str, bool]],
) -> None:
    workflow, answers, fails = drawn
    ending, records = run(workflow, tools := ScriptedTools(answers))
    again = run(workflow, ScriptedTools(answers))
    assert (ending, records) == again
    assert tools.most <= workflow.max_parallel_tasks
    needs = {
        task.name: {*task.depends_on, *(text.split(".")[1] for text in task.arguments.values())}
        for task in workflow.tasks
    }
    for name in needs:
        phases = records.phases(name)
        assert sum(phase.final for phase in phases) == 1
        assert phases[-1].final
        assert phases in ([TaskPhase.SKIPPED], [TaskPhase.RUNNING, phases[-1]])
        if name in tools.began:
            assert all(tools.ended[other] <= tools.began[name] for other in needs[name])
            assert all(records.last(other).phase == TaskPhase.SUCCEEDED for other in needs[name])
            assert records.last(name).phase == (TaskPhase.FAILED if fails[name] else TaskPhase.SUCCEEDED)
    assert len({call.unit for call in tools.calls}) == len(tools.calls)
    failed = any(records.last(name).phase == TaskPhase.FAILED for name in needs)
    assert ending.outcome == (Outcome.FAILED if failed else Outcome.SUCCEEDED)
    assert failed == any(fails[name] for name in tools.began)
    if not failed:
        assert set(tools.began) == set(needs)
