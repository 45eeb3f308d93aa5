"""What each construct of the workflow language does when it runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.builders import a_parameter, a_spec, a_task, an_output
from tests.unit.runner.scripted_tools import ScriptedTools, after, failing, in_turn, nested_task, run

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import ForEach, OnFailure, Retry, Task
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.results.records import Ending

CONTINUE = {"on_failure": OnFailure.CONTINUE}


def each(name: str = "ask", items: Any = ("a", "b", "c"), **fields: Any) -> Task:
    """A task for each item, which tells its tool the item."""
    task = {name: fields.pop(name) for name in ("max_parallel", "max_failures", "key", "as_") if name in fields}
    value = list(items) if isinstance(items, tuple) else items
    variable = task.get("as_", "item")
    arguments = fields.pop("arguments", {"x": f"${{{{ {variable} }}}}"})
    return a_task(name, arguments=arguments, for_each=ForEach(items=value, **task), **fields)


def range_(count: int) -> list[int]:
    return list(range(count))


# --- when, dependsOn, onFailure --------------------------------------------------------------------------------------


def test_a_task_whose_condition_is_false_is_skipped_and_so_is_what_needs_it() -> None:
    workflow = a_spec(
        a_task("a", when="params.depth > 1"),
        a_task("b", depends_on=["a"]),
        a_task("c", arguments={"x": "${{ tasks.b.result }}"}),
        a_task("d"),
    )
    ending, records = run(workflow, tools := ScriptedTools(), params={"depth": 1})
    assert [call.unit for call in tools.calls] == ["d"]
    assert records.words("a") == "WhenFalse: when is false: params.depth > 1"
    assert records.words("b") == 'DependencyNotMet: it needs task "a", which was skipped'
    assert records.words("c") == 'DependencyNotMet: it needs task "b", which was skipped'
    assert ending == Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "1 of 4 tasks succeeded, 3 were skipped")


@pytest.mark.parametrize(
    ("depends_on", "runs"),
    [
        pytest.param(["tasks.good.succeeded"], True, id="a success"),
        pytest.param(["tasks.bad.failed"], True, id="a failure"),
        pytest.param(["tasks.bad.succeeded || tasks.left.skipped"], True, id="either"),
        pytest.param(["tasks.bad.failed && !tasks.good.succeeded"], False, id="a failure alone"),
        pytest.param(["good", "tasks.bad.skipped"], False, id="all entries must hold"),
        pytest.param(["tasks.bad.phase in ['Failed', 'Skipped']"], True, id="the phase as a word"),
        pytest.param(["good", "bad"], False, id="a name asks for success"),
    ],
)
def test_a_task_may_depend_on_how_others_ended(depends_on: list[str], runs: bool) -> None:
    workflow = a_spec(
        a_task("good"), a_task("bad", **CONTINUE), a_task("left", when="false"), a_task("x", depends_on=depends_on)
    )
    _, records = run(workflow, tools := ScriptedTools({"bad": failing(3), "good": after(1, 1)}))
    assert ("x" in tools.began) == runs
    if runs:
        assert tools.began["x"] >= (3 if "bad" in str(depends_on) else 1)
    else:
        assert records.words("x").startswith("DependencyNotMet: ")


def test_a_condition_may_ask_how_a_task_ended_without_needing_its_success() -> None:
    workflow = a_spec(
        a_task("bad", **CONTINUE),
        a_task("mend", when="tasks.bad.failed && tasks.bad.error.class == 'Tool'"),
        a_task("use", arguments={"x": "${{ has(tasks.bad.result) ? tasks.bad.result : 'nothing' }}"}),
    )
    _, records = run(workflow, tools := ScriptedTools({"bad": failing(1)}))
    assert records.last_phases() == {"bad": "Failed", "mend": "Succeeded", "use": "Succeeded"}
    assert tools.arguments("use") == {"x": "nothing"}


def test_a_failure_that_is_allowed_leaves_the_run_a_success() -> None:
    workflow = a_spec(a_task("bad", **CONTINUE), a_task("needs", depends_on=["bad"]), a_task("free"))
    ending, records = run(workflow, ScriptedTools({"bad": failing(1), "free": after(2, 1)}))
    assert records.last_phases() == {"bad": "Failed", "needs": "Skipped", "free": "Succeeded"}
    words = "1 of 3 tasks succeeded, 1 was skipped and 1 failed, which the workflow allows"
    assert ending == Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, words)


def test_an_output_that_needs_a_task_without_a_result_is_left_out() -> None:
    outputs = (an_output("a", "${{ tasks.a.result.x }}"), an_output("b", "${{ tasks.b.result }}"))
    ending, _ = run(a_spec(a_task("a", when="false"), a_task("b"), outputs=outputs), ScriptedTools({"b": after(0, 7)}))
    assert ending
    assert ending.outputs == {"b": 7}


@pytest.mark.parametrize(
    ("task", "words"),
    [
        pytest.param({"when": "tasks.a.result.missing > 1"}, "Expression: when: tasks.a.result.missing", id="when"),
        pytest.param({"when": "params.text"}, "Expression: when: ", id="no boolean"),
        pytest.param({"depends_on": ["tasks.a.phase"]}, "Expression: dependsOn[0]: ", id="dependsOn"),
        pytest.param({"arguments": {"x": "${{ 1 / params.zero }}"}}, "Expression: arguments: ", id="arguments"),
        pytest.param({"success_when": "result.ok"}, "Expression: successWhen: ", id="successWhen"),
    ],
)
def test_a_condition_that_has_no_value_fails_its_task(task: dict[str, Any], words: str) -> None:
    workflow = a_spec(a_task("a"), a_task("b", **{"arguments": {}, **task}))
    ending, records = run(workflow, ScriptedTools({"a": after(0, {})}), params={"text": "x", "zero": 0})
    assert records.words("b").startswith(words)
    assert ending
    assert ending.reason == RunReason.TASK_FAILED


def test_what_a_tool_says_is_never_read_as_an_expression() -> None:
    workflow = a_spec(
        a_task("a"), a_task("b", arguments={"x": "${{ tasks.a.result }}", "y": "<${{ tasks.a.result }}>"})
    )
    run(workflow, tools := ScriptedTools({"a": after(0, "${{ params.secret }}")}), params={"secret": "s3cr3t"})
    assert tools.arguments("b") == {"x": "${{ params.secret }}", "y": "<${{ params.secret }}>"}


# --- forEach ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "key", "units", "collected"),
    [
        pytest.param(["a", "b"], None, ["ask[0]", "ask[1]"], ["A", "B"], id="a list"),
        pytest.param({"k": "a", "l": "b"}, None, ["ask[k]", "ask[l]"], {"k": "A", "l": "B"}, id="an object"),
        pytest.param(["a", "b"], "'n-' + item", ["ask[n-a]", "ask[n-b]"], {"n-a": "A", "n-b": "B"}, id="keys"),
        pytest.param("${{ params.words }}", None, ["ask[0]", "ask[1]"], ["A", "B"], id="an expression"),
        pytest.param([], None, [], [], id="nothing"),
    ],
)
def test_a_task_runs_once_for_each_item(items: Any, key: str | None, units: list[str], collected: Any) -> None:
    workflow = a_spec(
        each(items=items, key=key, arguments={"x": "${{ item }}", "k": "${{ key }}", "i": "${{ index }}"}),
        a_task("after", arguments={"all": "${{ tasks.ask.result }}", "bad": "${{ tasks.ask.failures }}"}),
    )

    async def upper(call: Any) -> str:
        return str(call.arguments["x"]).upper()

    _, records = run(workflow, tools := ScriptedTools({"ask": upper}), params={"words": ["a", "b"]})
    assert [call.unit for call in tools.calls] == [*units, "after"]
    assert tools.arguments("after") == {"all": collected, "bad": 0}
    assert [call.arguments["i"] for call in tools.calls[:-1]] == list(range(len(units)))
    assert [f"ask[{call.arguments['k']}]" for call in tools.calls[:-1]] == units
    assert records.last("ask").phase == "Succeeded"
    assert records.last("ask").progress == (f"{len(units)}/{len(units)}" if units else None)


def test_items_keep_to_their_own_limit_and_to_that_of_the_workflow() -> None:
    workflow = a_spec(
        each("a", range_(10), max_parallel=2), each("b", range_(10), max_parallel=5), max_parallel_tasks=4
    )
    now, most = {"a": 0, "b": 0}, {"a": 0, "b": 0}

    async def script(call: Any) -> None:
        name = call.unit[0]
        now[name] += 1
        most[name] = max(most[name], now[name])
        await after(1, None)(call)
        now[name] -= 1

    _, _ = run(workflow, tools := ScriptedTools({"a": script, "b": script}))
    assert most["a"] == 2
    assert tools.most == 4
    assert max(tools.ended.values()) <= 6


def test_when_an_item_fails_no_further_item_starts_and_the_task_fails() -> None:
    workflow = a_spec(each(items=range_(6), max_parallel=2), a_task("after", depends_on=["ask"]))
    tools = ScriptedTools({"ask[1]": failing(1, "bad item"), "ask": after(2, "ok")})
    ending, records = run(workflow, tools)
    assert set(tools.began) == {"ask[0]", "ask[1]"}
    assert records.words("ask") == 'Tool: 1 of 6 items failed, and 0 may; the first was "ask[1]": bad item'
    assert records.last("ask").progress == "2/6"
    assert ending
    assert ending.reason == RunReason.TASK_FAILED


@pytest.mark.parametrize(
    ("items", "collected"),
    [
        pytest.param(["a", "b", "c"], ["ok", None, "ok"], id="null in a list"),
        pytest.param({"0": "a", "1": "b", "2": "c"}, {"0": "ok", "2": "ok"}, id="left out of an object"),
    ],
)
def test_so_many_items_may_fail(items: Any, collected: Any) -> None:
    workflow = a_spec(
        each(items=items, max_failures=1),
        a_task("after", arguments={"all": "${{ tasks.ask.result }}", "items": "${{ tasks.ask.items }}"}),
    )
    ending, _ = run(workflow, tools := ScriptedTools({"ask[1]": failing(1, "bad item"), "ask": after(2, "ok")}))
    assert ending
    assert ending.outcome == Outcome.SUCCEEDED
    assert tools.arguments("after")["all"] == collected
    assert tools.arguments("after")["items"][1] == {
        "key": "1", "phase": "Failed", "error": {"class": "Tool", "message": "bad item"}
    }  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        pytest.param({"items": "${{ params.n }}"}, "forEach.items: they are a number, and must be a list", id="number"),
        pytest.param({"items": "${{ params.gone }}"}, "forEach.items: params.gone: no such parameter", id="nothing"),
        pytest.param({"key": "item.id"}, "forEach.key: item 0: ", id="a key that is not there"),
        pytest.param({"key": "1"}, "forEach.key: of item 0 it is a number, and must be a string", id="a number"),
        pytest.param({"key": "'same'"}, 'the key of item 1 is "same", as that of another one', id="the same twice"),
        pytest.param({"key": "''"}, "the key of item 0 is empty", id="an empty key"),
        pytest.param({"items": {"k" * 200: 1}}, "the key of item 0 has 200 characters", id="a long key"),
        pytest.param({"items": {"a\nb": 1}}, "the key of item 0 has characters that can't be shown", id="a line break"),
        pytest.param({"items": [0] * 1001}, "with these 1001 items the run would have more than 1000 tasks", id="many"),
        pytest.param(
            {"items": {f"{number:0120}": 0 for number in range(1000)}},
            "the names of the run's tasks would not fit into its status; shorten the keys",
            id="many long keys",
        ),
    ],
)
def test_items_that_can_not_be_told_apart_or_counted_fail_the_task(fields: dict[str, Any], words: str) -> None:
    _, records = run(a_spec(each(**fields)), tools := ScriptedTools(), params={"n": 7})
    assert tools.calls == []
    assert "Expression: forEach." in records.words("ask")
    assert words in records.words("ask")


# --- nested workflows ------------------------------------------------------------------------------------------------


def test_a_task_may_be_a_whole_workflow_whose_outputs_are_its_result() -> None:
    inner = a_spec(
        a_task("look", arguments={"q": "${{ params.topic }}"}),
        a_task("sum", arguments={"x": "${{ tasks.look.result }}"}),
        parameters=[a_parameter("topic", {"type": "string"}), a_parameter("depth", default=1)],
        outputs=[an_output("answer", "${{ tasks.sum.result }}"), an_output("depth", "${{ params.depth }}")],
    )
    workflow = a_spec(
        nested_task("sub", "research", parameters={"topic": "${{ params.t }}"}),
        a_task("last", arguments={"x": "${{ tasks.sub.result.answer }}", "d": "${{ tasks.sub.result.depth }}"}),
    )
    tools = ScriptedTools({"sub/look": after(1, "found"), "sub/sum": after(1, "short")})
    ending, records = run(workflow, tools, params={"t": "moths"}, nested={"research": inner})
    assert ending
    assert ending.outcome == Outcome.SUCCEEDED
    assert tools.arguments("sub/look") == {"q": "moths"}
    assert tools.arguments("last") == {"x": "short", "d": 1}
    assert set(records.last_phases()) == {"sub", "sub/look", "sub/sum", "last"}


def test_a_nested_workflow_that_fails_fails_its_task_with_the_inner_reason() -> None:
    inner = a_spec(a_task("a"), a_task("b", depends_on=["a"]))
    workflow = a_spec(nested_task("sub", "w", **CONTINUE), a_task("free"))
    ending, records = run(workflow, ScriptedTools({"sub/a": failing(1, "broken")}), nested={"w": inner})
    assert records.words("sub") == 'Tool: task "sub/a": broken'
    assert records.last_phases() == {"sub": "Failed", "sub/a": "Failed", "sub/b": "Skipped", "free": "Succeeded"}
    assert ending
    assert ending.outcome == Outcome.SUCCEEDED


def test_a_nested_workflow_stops_with_the_run_and_still_cleans_up() -> None:
    inner = a_spec(
        a_task("a"), a_task("b", depends_on=["a"]), finally_=(a_task("c"),), outputs=[an_output("x", "${{ 1 }}")]
    )
    workflow = a_spec(nested_task("sub", "w"), a_task("bad"))
    tools = ScriptedTools({"sub/a": after(5, 1), "bad": failing(1)})
    ending, records = run(workflow, tools, nested={"w": inner})
    assert records.last_phases() == {
        "sub": "Failed", "sub/a": "Succeeded", "sub/b": "Skipped", "sub/c": "Succeeded", "bad": "Failed"
    }  # fmt: skip
    assert records.words("sub") == 'Cancelled: the run stopped after task "bad" failed'
    assert ending
    assert ending.message == 'task "bad" failed: Tool: no'


def test_a_workflow_may_run_for_each_item() -> None:
    inner = a_spec(
        a_task("read", arguments={"f": "${{ params.file }}"}),
        parameters=[a_parameter("file")],
        outputs=[an_output("text", "${{ tasks.read.result }}")],
    )
    task = nested_task(
        "review", "w", for_each=ForEach(items=["x", "y"], as_="file"), parameters={"file": "${{ file }}"}
    )
    _, records = run(a_spec(task), ScriptedTools({"review[0]/read": after(1, "X")}), nested={"w": inner})
    assert records.last("review").answer.result == [{"text": "X"}, {"text": None}]
    assert "review[1]/read" in records.last_phases()


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        pytest.param({}, "parameters.topic: it is missing", id="missing"),
        pytest.param({"topic": 7}, 'parameters.topic: 7 is not of type "string"', id="wrong type"),
        pytest.param({"topic": "x", "topci": 1}, 'unknown parameter "topci"; did you mean "topic"?', id="unknown"),
    ],
)
def test_the_parameters_of_a_nested_workflow_are_checked(parameters: dict[str, Any], words: str) -> None:
    inner = a_spec(a_task("a"), parameters=[a_parameter("topic", {"type": "string"})])
    workflow = a_spec(nested_task("sub", "w", parameters=parameters))
    _, records = run(workflow, tools := ScriptedTools(), nested={"w": inner})
    assert tools.calls == []
    assert words in records.words("sub")


def test_workflows_stand_in_each_other_four_deep_at_most() -> None:
    nested = {f"w{n}": a_spec(nested_task("sub", f"w{n + 1}")) for n in range(1, 5)} | {"w5": a_spec(a_task("a"))}
    ending, _ = run(a_spec(nested_task("sub", "w1")), ScriptedTools(), nested=nested)
    assert ending
    assert "stands more than 4 levels deep" in ending.message


def test_a_nested_workflow_that_takes_too_long_is_cut_off() -> None:
    inner = a_spec(a_task("a"), a_task("b", depends_on=["a"]))
    workflow = a_spec(nested_task("sub", "w", timeout_seconds=5, **CONTINUE), a_task("free"))
    tools = ScriptedTools({"sub/a": after(100, 1), "free": after(20, 1)})
    ending, records = run(workflow, tools, nested={"w": inner})
    assert tools.ended["sub/a"] == 5
    assert records.words("sub") == "Timeout: it took longer than its time-out, 5 s"
    assert ending
    assert ending.outcome == Outcome.SUCCEEDED


# --- finally ---------------------------------------------------------------------------------------------------------


def clean_up(**fields: Any) -> Task:
    arguments = {"ok": "${{ run.succeeded }}", "why": "${{ run.reason }}", "words": "${{ run.message }}"}
    return a_task("clean", arguments=arguments, **fields)


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        pytest.param(after(1, 1), (True, "Succeeded", "1 task succeeded"), id="success"),
        pytest.param(failing(1), (False, "TaskFailed", 'task "a" failed: Tool: no'), id="failure"),
        pytest.param(
            after(1000, 1), (False, "TimedOut", "the run took longer than its time-out of 60 s"), id="time-out"
        ),
    ],
)
def test_the_tasks_of_finally_run_at_every_end_and_see_it(script: Any, seen: tuple[Any, ...]) -> None:
    workflow = a_spec(a_task("a"), finally_=(clean_up(),))
    ending, _ = run(workflow, tools := ScriptedTools({"a": script}), timeout_seconds=60)
    assert tuple(tools.arguments("clean").values()) == seen
    assert ending
    assert (ending.outcome == Outcome.SUCCEEDED) == seen[0]
    assert ending.message == seen[2]


def test_finally_tasks_read_results_and_are_skipped_where_there_is_none() -> None:
    workflow = a_spec(
        a_task("made"),
        a_task("bad"),
        finally_=(
            a_task("drop", arguments={"x": "${{ tasks.made.result }}"}),
            a_task("tell", arguments={"x": "${{ tasks.bad.result }}"}),
            a_task("last", depends_on=["drop"], when="tasks.bad.failed"),
        ),
    )
    _, records = run(workflow, tools := ScriptedTools({"made": after(0, "id-1"), "bad": failing(1)}))
    assert tools.arguments("drop") == {"x": "id-1"}
    assert records.words("tell") == 'DependencyNotMet: it needs task "bad", which failed'
    assert records.last("last").phase == "Succeeded"


def test_a_finally_task_that_fails_fails_a_run_that_had_succeeded() -> None:
    ending, _ = run(a_spec(a_task("a"), finally_=(clean_up(),)), ScriptedTools({"clean": failing(1, "stuck")}))
    assert ending == Ending(Outcome.FAILED, RunReason.TASK_FAILED, 'task "clean" failed: Tool: stuck')


def test_finally_has_a_time_of_its_own() -> None:
    workflow = a_spec(a_task("a"), finally_=(clean_up(),), finally_timeout_seconds=10)
    ending, _ = run(workflow, tools := ScriptedTools({"clean": after(1000, 1)}))
    assert tools.ended["clean"] == 10
    assert ending
    assert ending.reason == RunReason.TIMED_OUT
    assert ending.message == "the tasks of finally took longer than finallyTimeoutSeconds, 10 s"


# --- retries, deadlines, what may be repeated ------------------------------------------------------------------------


def test_a_call_that_never_reached_its_server_is_made_again_whatever_the_tool_does() -> None:
    script = in_turn(failing(1, "refused", ErrorClass.CONNECT, never_sent=True), after(1, "there"))
    _, records = run(a_spec(a_task("a")), ScriptedTools({"a": script}), unsafe=("get_current_time",))
    assert records.last("a").answer.result == "there"
    assert records.last("a").attempts == 2


def test_a_call_that_may_have_been_carried_out_is_made_again_only_if_the_tool_allows() -> None:
    for unsafe, phase, calls in (((), "Succeeded", 2), (("get_current_time",), "Indeterminate", 1)):
        script = in_turn(
            failing(1, "cut off: the tool may have done its work", ErrorClass.TRANSPORT), after(1, "there")
        )
        ending, records = run(a_spec(a_task("a")), tools := ScriptedTools({"a": script}), unsafe=unsafe)
        assert (records.last("a").phase, len(tools.calls)) == (phase, calls)
    assert ending
    assert ending.reason == RunReason.TASK_INDETERMINATE


@pytest.mark.parametrize(("idempotent", "phase"), [(True, "Succeeded"), (False, "Indeterminate")])
def test_a_task_may_say_itself_whether_its_call_can_be_repeated(idempotent: bool, phase: str) -> None:
    script = in_turn(failing(1, "late", ErrorClass.TIMEOUT), after(1, "there"))
    unsafe = ("get_current_time",) if idempotent else ()
    _, records = run(a_spec(a_task("a", idempotent=idempotent)), ScriptedTools({"a": script}), unsafe=unsafe)
    assert records.last("a").phase == phase


def test_attempts_wait_longer_each_time_and_leave_their_place_to_others() -> None:
    never = failing(0, "busy", ErrorClass.BUSY, never_sent=True)
    workflow = a_spec(
        a_task("a", retry=Retry(attempts=4, backoff_seconds=8, max_backoff_seconds=100), **CONTINUE),
        a_task("b"),
        max_parallel_tasks=1,
    )
    _, records = run(workflow, tools := ScriptedTools({"a": never, "b": after(1, 1)}))
    assert len([call for call in tools.calls if call.unit == "a"]) == 4
    assert [call.attempt for call in tools.calls if call.unit == "a"] == [1, 2, 3, 4]
    assert tools.ended["b"] == 1
    assert records.words("a") == "Busy: busy (4 attempts)"
    assert tools.began["a"] > 8 + 8


def test_the_task_s_own_condition_decides_about_another_attempt() -> None:
    script = failing(0, "quota", ErrorClass.BUSY, never_sent=True)
    retry = Retry(attempts=5, when="attempt < 3 && error.class == 'Busy' && !error.message.contains('never')")
    _, records = run(a_spec(a_task("a", retry=retry)), ScriptedTools({"a": script}))
    assert records.last("a").attempts == 3


def test_a_result_that_says_no_is_a_failure_and_can_be_tried_again() -> None:
    script = in_turn(after(1, {"error": "fetch failed"}), after(1, {"value": 7}))
    task = a_task("a", success_when="!has(result.error)", retry=Retry(on_errors=(ErrorClass.TOOL,)))
    _, records = run(a_spec(task), ScriptedTools({"a": script}))
    assert records.last("a").answer.result == {"value": 7}
    _, records = run(
        a_spec(a_task("a", success_when="!has(result.error)")), ScriptedTools({"a": after(1, {"error": 1})})
    )
    assert records.words("a") == "Tool: successWhen is false: !has(result.error)"


def test_a_task_s_deadline_holds_for_all_attempts_together() -> None:
    script = failing(4, "late", ErrorClass.TIMEOUT)
    task = a_task("a", deadline_seconds=10, retry=Retry(attempts=9, backoff_seconds=1))
    _, _ = run(a_spec(task), tools := ScriptedTools({"a": script}))
    assert tools.calls[0].timeout_seconds == 10
    assert tools.calls[-1].timeout_seconds < 6
    assert max(tools.ended.values()) <= 10


def test_a_deadline_holds_for_all_items_together() -> None:
    workflow = a_spec(each(items=range_(9), max_parallel=1, deadline_seconds=10))
    _, records = run(workflow, tools := ScriptedTools({"ask": after(3, 1)}))
    assert len(tools.began) == 4
    words = "Timeout: it took longer than its deadlineSeconds, 10 s; by then 3 of 9 items had ended"
    assert records.words("ask") == words


# --- what is on record before a call ---------------------------------------------------------------------------------


def test_a_call_that_must_not_be_repeated_is_on_record_before_it_is_made() -> None:
    workflow = a_spec(a_task("safe"), a_task("b", tool="delete", depends_on=["safe"]), each("c", tool="delete"))
    _, records = run(workflow, ScriptedTools({"c": after(1, 1)}), unsafe=("delete",))
    assert len(records.commits) == 4
    assert any(commit.get("b") == "Running" and commit["safe"] == "Succeeded" for commit in records.commits)
    assert all(any(commit.get(f"c[{n}]") == "Running" for commit in records.commits) for n in range(3))
