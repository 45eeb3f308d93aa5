from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task, an_output
from tests.unit.cluster import virtual_time
from tests.unit.runner.scripted_tools import Answer, Records, ScriptedTools, after, failing

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Outcome, RunReason, TaskPhase
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplateSpec
from mcp_orchestrator.runner import execute, values
from mcp_orchestrator.runner.calls import Call
from mcp_orchestrator.runner.execute import Ending

START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def run(
    workflow: WorkflowTemplateSpec,
    tools: ScriptedTools,
    *,
    params: dict[str, Any] | None = None,
    timeout_seconds: float = 3600,
    stop_after: float | None = None,
) -> tuple[Ending, Records]:
    """Execute in virtual time."""
    records = Records()

    async def main() -> Ending:
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[str] = loop.create_future()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set_result, "the pod was asked to stop")
        return await execute.execute(
            workflow,
            params or {},
            tools,
            records,
            timeout_seconds=timeout_seconds,
            clock=lambda: START + timedelta(seconds=loop.time()),
            stop=stop,
        )

    return virtual_time.run(main()), records


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
    assert tools.calls[0] == Call("a", "git", "git_log", {}, 7)
    assert tools.calls[1].timeout_seconds is None


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
    words = {name: record.error.message for name in records.last_phases() if (record := records.last(name)).error}
    assert words == {
        "bad": "no such page",
        "child": 'it needs task "bad", which failed',
        "grandchild": 'it needs task "child", which was skipped',
        "other": 'the run stopped after task "bad" failed',
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


@pytest.mark.parametrize(
    ("how", "reason", "error_class", "words"),
    [
        pytest.param(
            {"timeout_seconds": 60},
            RunReason.TIMED_OUT,
            ErrorClass.TIMEOUT,
            "the run took longer than its time-out of 60 s",
            id="time-out",
        ),
        pytest.param(
            {"stop_after": 60}, RunReason.RUNNER_FAILED, ErrorClass.CANCELLED, "the pod was asked to stop", id="stop"
        ),
    ],
)
def test_an_interrupted_run_cancels_its_calls_and_says_why(
    how: dict[str, Any], reason: RunReason, error_class: ErrorClass, words: str
) -> None:
    workflow = a_spec(a_task("done"), a_task("long"), a_task("never", depends_on=("long",)))
    ending, records = run(workflow, tools := ScriptedTools({"long": after(1000, None)}), **how)
    assert tools.cancelled == ["long"]
    assert tools.ended["long"] == 60
    assert (ending.outcome, ending.reason, ending.message) == (Outcome.FAILED, reason, words)
    assert records.last_phases() == {"done": "Succeeded", "long": "Failed", "never": "Skipped"}
    for name in ("long", "never"):
        error = records.last(name).error
        assert error
        assert error.message == words
        assert error.class_ == (error_class if name == "long" else ErrorClass.CANCELLED)


def test_a_stop_that_was_set_already_starts_nothing() -> None:
    records, tools = Records(), ScriptedTools()

    async def main() -> Ending:
        stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        stop.set_result("enough")
        return await execute.execute(a_spec(a_task("a")), {}, tools, records, timeout_seconds=60, stop=stop)

    ending = virtual_time.run(main())
    assert tools.calls == []
    assert (ending.reason, ending.message) == (RunReason.RUNNER_FAILED, "enough")
    assert records.phases("a") == [TaskPhase.SKIPPED]


def test_a_call_that_ends_well_although_it_was_cancelled_counts() -> None:
    async def stubborn(_: Call) -> Any:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            return "made it"

    ending, records = run(a_spec(a_task("a")), ScriptedTools({"a": stubborn}), timeout_seconds=60)
    assert ending.reason == RunReason.TIMED_OUT
    assert records.last("a").phase == TaskPhase.SUCCEEDED
    assert records.last("a").result == "made it"


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
        await execute.execute(a_spec(a_task("a")), {}, tools, records, timeout_seconds=60)
        ended_at = asyncio.get_running_loop().time()

    virtual_time.run(main())
    assert ended_at == 60 + execute.LEAVE_SECONDS
    assert records.last("a").phase == TaskPhase.FAILED


def test_an_expression_that_fails_is_the_task_s_failure_and_calls_nothing() -> None:
    workflow = a_spec(a_task("a"), a_task("b", arguments={"x": "${{ tasks.a.result.missing }}"}))
    ending, records = run(workflow, tools := ScriptedTools({"a": after(0, {})}))
    assert [call.task for call in tools.calls] == ["a"]
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
            ["the outputs have 210.0 KiB together", "limit is 192.0 KiB"],
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
    assert ending.reason == RunReason.TEMPLATE_INVALID
    assert "a, b, a" in ending.message
    assert records.last_phases() == {"a": "Skipped", "b": "Skipped"}


@pytest.mark.parametrize("size", [pytest.param(5_000_000, id="large results pass in memory")])
def test_a_later_task_gets_the_whole_of_a_large_result(size: int) -> None:
    workflow = a_spec(a_task("a"), a_task("b", arguments={"text": "${{ tasks.a.result }}"}))
    run(workflow, tools := ScriptedTools({"a": after(0, "x" * size)}))
    assert len(tools.calls[1].arguments["text"]) == size > values.INLINE_BYTES


@st.composite
def workflows(draw: st.DrawFn) -> tuple[WorkflowTemplateSpec, dict[str, Answer], dict[str, bool]]:
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
    drawn: tuple[WorkflowTemplateSpec, dict[str, Answer], dict[str, bool]],
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
    assert len({call.task for call in tools.calls}) == len(tools.calls)
    failed = any(records.last(name).phase == TaskPhase.FAILED for name in needs)
    assert ending.outcome == (Outcome.FAILED if failed else Outcome.SUCCEEDED)
    assert failed == any(fails[name] for name in tools.began)
    if not failed:
        assert set(tools.began) == set(needs)
