"""Orders to a run that is under way: what stands in the run, and what the engine makes of it."""

from __future__ import annotations

import pytest
from tests.builders import a_spec, a_task, an_output
from tests.unit.runner.scripted_tools import ScriptedTools, after, failing, in_turn, nested_task, run

from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import ForEach
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.control.orders import SUSPENDED, Order, Orders, ordered
from mcp_orchestrator.runner.engine.gate import Gate
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

GO_ON = Order()
SUSPEND = Order(suspend=True, message=SUSPENDED)
GRACEFUL = Order(cancel=CancelMode.GRACEFUL, message="spec.cancel is Graceful")
IMMEDIATE = Order(cancel=CancelMode.IMMEDIATE, message="spec.cancel is Immediate")
HELD = Ending(Outcome.SUSPENDED, RunReason.SUSPENDED, SUSPENDED)
STOPPED = Ending(Outcome.CANCELLED, RunReason.CANCELLED, GRACEFUL.message)
STOPPED_AT_ONCE = Ending(Outcome.CANCELLED, RunReason.CANCELLED, IMMEDIATE.message)
A_THEN_Z = a_spec(a_task("a"), finally_=[a_task("z", arguments={"why": "${{ run.reason }}"})])


# --- what is ordered -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suspend", "cancel", "theirs", "order"),
    [
        pytest.param(False, None, None, GO_ON, id="nothing"),
        pytest.param(True, None, None, SUSPEND, id="suspend"),
        pytest.param(True, "Graceful", None, GRACEFUL, id="cancel wins over suspend"),
        pytest.param(False, "Immediate", None, IMMEDIATE, id="immediate"),
        pytest.param(False, "Graceful", ("Graceful", "Replaced"), GRACEFUL, id="of two alike the user's"),
        pytest.param(False, "Immediate", ("Graceful", "Replaced"), IMMEDIATE, id="immediate wins"),
        pytest.param(
            True, None, ("Graceful", "Replaced"),
            Order(cancel=CancelMode.GRACEFUL, reason=RunReason.REPLACED, message="why"), id="the operator's own",
        ),
        pytest.param(
            False, "Graceful", ("Immediate", "Replaced"),
            Order(cancel=CancelMode.IMMEDIATE, reason=RunReason.REPLACED, message="why"), id="immediate wins here too",
        ),
        pytest.param(
            False, None, ("Graceful", "OfALaterVersion"),
            Order(cancel=CancelMode.GRACEFUL, message="why"), id="a reason that is not known",
        ),
    ],
)  # fmt: skip
def test_the_order_that_holds_is_the_strongest(
    suspend: bool, cancel: str | None, theirs: tuple[str, str] | None, order: Order
) -> None:
    cancellation = {"mode": theirs[0], "reason": theirs[1], "message": "why"} if theirs else None
    spec, status = {"suspend": suspend, "cancel": cancel}, {"cancellation": cancellation}
    a_run = WorkflowRun.model_validate({"metadata": {"name": "r"}, "spec": spec, "status": status})
    assert ordered(a_run) == order


@pytest.mark.parametrize(
    ("given", "obeyed"),
    [
        pytest.param([SUSPEND, SUSPEND], [GO_ON, SUSPEND], id="the same again is no order"),
        pytest.param([SUSPEND, GO_ON, SUSPEND], [GO_ON, SUSPEND, GO_ON, SUSPEND], id="to and fro"),
        pytest.param([GRACEFUL, SUSPEND, GO_ON], [GO_ON, GRACEFUL], id="cancel can not be taken back"),
        pytest.param([GRACEFUL, IMMEDIATE, GRACEFUL], [GO_ON, GRACEFUL, IMMEDIATE], id="but made stronger"),
    ],
)
def test_an_order_is_obeyed_once_and_cancel_is_one_way(given: list[Order], obeyed: list[Order]) -> None:
    seen: list[Order] = []
    orders = Orders()
    with orders.followed(seen.append):
        for order in given:
            orders.give(order)
    orders.give(Order(message="too late"))
    assert seen == obeyed


# --- suspend ---------------------------------------------------------------------------------------------------------


def test_a_suspended_run_starts_nothing_and_waits_for_what_is_under_way() -> None:
    workflow = a_spec(a_task("quick"), a_task("long"), a_task("next", depends_on=("quick",)), max_parallel_tasks=2)
    tools = ScriptedTools({"quick": after(5, "q"), "long": after(100, "l")})
    ending, records = run(workflow, tools, orders={3: SUSPEND})
    assert ending == HELD
    assert tools.cancelled == []
    assert records.last_phases() == {"quick": "Succeeded", "long": "Succeeded"}
    assert tools.ended == {"quick": 5, "long": 100}


def test_a_run_that_is_suspended_from_the_start_makes_no_call() -> None:
    ending, records = run(
        a_spec(a_task("a"), a_task("b", depends_on=("a",))), tools := ScriptedTools(), orders={0: SUSPEND}
    )
    assert ending == HELD
    assert tools.calls == []
    assert records.seen == []


def test_a_suspension_that_is_taken_back_in_time_changes_nothing_but_the_time() -> None:
    workflow = a_spec(a_task("quick"), a_task("long"), a_task("next", depends_on=("quick",)))
    tools = ScriptedTools({"quick": after(5, "q"), "long": after(100, "l")})
    ending, _ = run(workflow, tools, orders={3: SUSPEND, 50: GO_ON})
    assert ending == Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "3 tasks succeeded")
    assert tools.began == {"quick": 0, "long": 0, "next": 50}


def test_a_run_whose_last_task_ends_while_it_is_held_is_over() -> None:
    ending, _ = run(a_spec(a_task("a")), ScriptedTools({"a": after(5, 1)}), orders={3: SUSPEND})
    assert ending.outcome == Outcome.SUCCEEDED


@pytest.mark.parametrize("tool", [pytest.param("read", id="repeatable"), pytest.param("delete", id="not repeatable")])
def test_a_unit_in_a_pause_between_attempts_is_quiet_and_goes_on_later(tool: str) -> None:
    workflow = a_spec(a_task("a", tool=tool), a_task("b", depends_on=("a",)))
    busy = failing(1, "busy", ErrorClass.BUSY, never_sent=True, retry_after_seconds=600)
    retry = {"backoff_seconds": 600, "max_backoff_seconds": 600}
    first = ScriptedTools({"a": busy})
    ending, records = run(workflow, first, orders={3: SUSPEND}, unsafe=("delete",), retry=retry)
    assert ending == HELD
    assert records.last_phases() == {"a": "Pending"}
    assert records.last("a").attempts == 1

    second = ScriptedTools({"a": after(1, "made it")})
    ending, records = run(workflow, second, recorded=records.recorded(), unsafe=("delete",), retry=retry)
    assert ending.outcome == Outcome.SUCCEEDED
    assert second.calls[0].attempt == 2
    assert records.commits == ([{"a": TaskPhase.RUNNING}] if tool == "delete" else [])


def test_attempts_before_and_after_a_suspension_are_counted_together() -> None:
    workflow = a_spec(a_task("a"))
    busy = failing(1, "busy", ErrorClass.BUSY, never_sent=True)
    retry = {"backoff_seconds": 10}
    _, records = run(workflow, ScriptedTools({"a": busy}), orders={3: SUSPEND}, retry=retry)
    ending, records = run(workflow, tools := ScriptedTools({"a": busy}), recorded=records.recorded(), retry=retry)
    assert [call.attempt for call in tools.calls] == [2, 3]
    assert records.words("a") == "Busy: busy (3 attempts)"
    assert ending.outcome == Outcome.FAILED


def test_no_further_attempt_is_made_once_the_run_is_held() -> None:
    busy = failing(5, "busy", ErrorClass.BUSY, never_sent=True)
    workflow = a_spec(a_task("a"), a_task("long"))
    tools = ScriptedTools({"a": in_turn(busy, after(1, 1)), "long": after(50, 1)})
    ending, records = run(workflow, tools, orders={3: SUSPEND}, retry={"backoff_seconds": 2})
    assert ending == HELD
    assert [call.unit for call in tools.calls] == ["a", "long"]
    assert records.last_phases() == {"a": "Pending", "long": "Succeeded"}


def test_items_and_inner_tasks_are_held_as_tasks_are() -> None:
    inner = a_spec(a_task("i"), a_task("j", depends_on=("i",)), outputs=[an_output("o", "${{ tasks.j.result }}")])
    each = a_task("each", for_each=ForEach(items=[1, 2, 3, 4], max_parallel=2))
    workflow = a_spec(each, nested_task("inner", "w"), a_task("last", depends_on=("each", "inner")))
    script = {"each": after(10, "e"), "inner/i": after(12, "i"), "inner/j": after(1, "j")}
    ending, records = run(workflow, first := ScriptedTools(script), nested={"w": inner}, orders={3: SUSPEND})
    assert ending == HELD
    assert set(first.began) == {"each[0]", "each[1]", "inner/i"}
    shown = {"each": "Running", "inner": "Running", "each[0]": "Succeeded", "each[1]": "Succeeded"}
    assert records.last_phases() == {**shown, "inner/i": "Succeeded"}

    second = ScriptedTools(script)
    ending, records = run(workflow, second, nested={"w": inner}, recorded=records.recorded())
    assert ending.outcome == Outcome.SUCCEEDED
    assert set(second.began) == {"each[2]", "each[3]", "inner/j", "last"}


def test_nothing_that_has_parts_begins_while_a_run_is_held() -> None:
    inner = a_spec(a_task("i"), finally_=[a_task("z")])
    each = a_task("each", for_each=ForEach(items=[1]), depends_on=("quick",))
    tasks = (nested_task("n", "w"), each, nested_task("m", "w", depends_on=("quick",)))
    workflow = a_spec(a_task("quick"), a_task("long"), *tasks)
    tools = ScriptedTools({"quick": after(5, 1), "n/i": after(5, 1), "long": after(50, 1)})
    ending, records = run(workflow, tools, nested={"w": inner}, orders={3: SUSPEND})
    assert ending == HELD
    assert set(tools.began) == {"quick", "long", "n/i"}
    phases = {"quick": "Succeeded", "long": "Succeeded", "n": "Running", "n/i": "Succeeded"}
    assert records.last_phases() == phases


def test_calls_that_wait_for_their_server_s_turn_are_not_under_way() -> None:
    each = a_task("each", tool="delete", for_each=ForEach(items=[*range(30)], max_parallel=30))
    workflow = a_spec(each, max_parallel_tasks=30)
    tools = ScriptedTools({"each": after(10, None)})
    ending, records = run(workflow, tools, orders={3: SUSPEND}, unsafe=("delete",))
    assert ending == HELD
    assert len(tools.calls) == 20
    phases = list(records.last_phases().values())
    assert (phases.count("Succeeded"), phases.count("Running")) == (20, 1)


def test_finally_does_not_begin_while_a_run_is_held_and_goes_on_to_its_end_once_it_has_begun() -> None:
    workflow = a_spec(a_task("a"), finally_=[a_task("z"), a_task("zz", depends_on=("z",))])
    script = {"a": after(5, 1), "z": after(5, 1), "zz": after(5, 1)}
    ending, records = run(workflow, ScriptedTools(script), orders={3: SUSPEND})
    assert ending == HELD
    assert records.last_phases() == {"a": "Succeeded"}
    ending, _ = run(workflow, tools := ScriptedTools(script), orders={7: SUSPEND}, recorded=records.recorded())
    assert ending.outcome == Outcome.SUCCEEDED
    assert tools.ended == {"z": 5, "zz": 10}


def test_the_finally_of_an_inner_workflow_gets_room_from_tasks_that_are_held() -> None:
    inner = a_spec(a_task("i"), finally_=[a_task("z"), a_task("zz", depends_on=("z",))])
    tasks = (a_task("b"), nested_task("n", "w"), a_task("c", depends_on=("b",)), a_task("d", depends_on=("c",)))
    workflow = a_spec(*tasks, max_parallel_tasks=1)
    script = {name: after(5, 1) for name in ("b", "n/i", "c", "n/z", "d", "n/zz")}
    ending, records = run(workflow, tools := ScriptedTools(script), nested={"w": inner}, orders={17: SUSPEND})
    assert ending == HELD
    assert tools.began == {"b": 0, "n/i": 5, "c": 10, "n/z": 15, "n/zz": 20}
    assert records.last("n").phase == TaskPhase.SUCCEEDED


def test_the_time_out_counts_while_calls_of_a_held_run_are_awaited() -> None:
    workflow = a_spec(a_task("long"), a_task("b", depends_on=("long",)), finally_=[a_task("z")])
    ending, records = run(workflow, ScriptedTools({"long": after(1000, 1)}), orders={3: SUSPEND}, timeout_seconds=60)
    assert ending.reason == RunReason.TIMED_OUT
    assert records.last("z").phase == TaskPhase.SUCCEEDED


def test_a_failure_while_a_run_is_held_is_its_end_when_it_goes_on() -> None:
    workflow = a_spec(a_task("bad"), a_task("long"), a_task("c", depends_on=("long",)), finally_=[a_task("z")])
    script = {"bad": failing(5), "long": after(20, 1)}
    ending, records = run(workflow, ScriptedTools(script), orders={3: SUSPEND})
    assert ending == HELD
    assert records.last_phases() == {"bad": "Failed", "long": "Succeeded"}
    ending, records = run(workflow, tools := ScriptedTools(script), recorded=records.recorded())
    assert ending.reason == RunReason.TASK_FAILED
    assert set(tools.began) == {"z"}
    assert records.words("c") == 'RunFailed: the run stopped after task "bad" failed'


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_a_run_that_is_cancelled_gracefully_stops_its_calls_and_runs_finally() -> None:
    workflow = a_spec(
        a_task("done"),
        a_task("read"),
        a_task("delete", tool="delete"),
        a_task("pausing"),
        a_task("next", depends_on=("read",)),
        a_task("later", depends_on=("done", "read")),
        finally_=[a_task("z", arguments={"why": "${{ run.reason }}", "what": "${{ run.message }}"})],
    )
    script = {
        "read": after(1000, 1),
        "delete": after(1000, 1),
        "pausing": failing(1, "busy", ErrorClass.BUSY, never_sent=True),
        "z": after(7, 1),
    }
    retry = {"backoff_seconds": 600, "max_backoff_seconds": 600}
    ending, records = run(
        workflow, tools := ScriptedTools(script), orders={3: GRACEFUL}, unsafe=("delete",), retry=retry
    )
    assert ending == STOPPED
    assert sorted(tools.cancelled) == ["delete", "read"]
    assert tools.ended["z"] == 10
    assert tools.arguments("z") == {"why": "Cancelled", "what": GRACEFUL.message}
    told = {name: records.words(name) for name in ("read", "delete", "pausing", "next", "later")}
    cut, skipped = f"Cancelled: {GRACEFUL.message}", f"RunCancelled: {GRACEFUL.message}"
    assert told == {"read": cut, "delete": cut, "pausing": cut, "next": skipped, "later": skipped}
    assert records.last("delete").phase == TaskPhase.INDETERMINATE
    assert records.last("read").phase == records.last("pausing").phase == TaskPhase.FAILED


def test_a_run_that_is_cancelled_immediately_stops_everything_and_skips_finally() -> None:
    workflow = a_spec(a_task("a"), a_task("b", depends_on=("a",)), finally_=[a_task("z")])
    ending, records = run(workflow, tools := ScriptedTools({"a": after(1000, 1)}), orders={3: IMMEDIATE})
    assert ending == STOPPED_AT_ONCE
    assert tools.ended == {"a": 3}
    assert records.last_phases() == {"a": "Failed", "b": "Skipped", "z": "Skipped"}
    assert records.words("z") == f"RunCancelled: {IMMEDIATE.message}"


@pytest.mark.parametrize(
    ("orders", "ended", "ending"),
    [
        pytest.param({13: GRACEFUL}, {"a": 10, "z": 20}, None, id="after the tasks graceful changes nothing"),
        pytest.param({5: GRACEFUL, 8: SUSPEND, 9: GO_ON}, {"a": 5, "z": 15}, STOPPED, id="nothing weaker is heard"),
        pytest.param({5: GRACEFUL, 8: IMMEDIATE}, {"a": 5, "z": 8}, STOPPED, id="immediate ends finally"),
        pytest.param({13: IMMEDIATE}, {"a": 10, "z": 13}, STOPPED_AT_ONCE, id="immediate in finally"),
        pytest.param({3: SUSPEND, 5: GRACEFUL}, {"a": 5, "z": 15}, STOPPED, id="cancelled while it was held"),
        pytest.param({3: SUSPEND, 5: IMMEDIATE}, {"a": 5}, STOPPED_AT_ONCE, id="immediate while it was held"),
    ],
)
def test_cancelling_around_finally(orders: dict[float, Order], ended: dict[str, float], ending: Ending | None) -> None:
    found, _ = run(A_THEN_Z, tools := ScriptedTools({"a": after(10, 1), "z": after(10, 1)}), orders=orders)
    assert tools.ended == ended
    assert found == (ending or Ending(Outcome.SUCCEEDED, RunReason.SUCCEEDED, "1 task succeeded"))


def test_the_finally_of_an_inner_workflow_runs_after_a_graceful_cancel() -> None:
    inner = a_spec(a_task("i"), finally_=[a_task("z", arguments={"why": "${{ run.reason }}"})])
    each = a_task("each", for_each=ForEach(items=[1, 2, 3], max_parallel=2))
    workflow = a_spec(nested_task("n", "w"), each, nested_task("never", "w", depends_on=("n",)))
    script = {"n/i": after(1000, 1), "each": after(1000, 1)}
    ending, records = run(workflow, tools := ScriptedTools(script), nested={"w": inner}, orders={3: GRACEFUL})
    assert ending == STOPPED
    assert tools.arguments("n/z") == {"why": "Cancelled"}
    phases = {"n": "Failed", "n/i": "Failed", "n/z": "Succeeded", "never": "Skipped"}
    assert records.last_phases() == {**phases, "each": "Failed", "each[0]": "Failed", "each[1]": "Failed"}
    assert records.words("never") == f"RunCancelled: {GRACEFUL.message}"


def test_a_replaced_run_says_so_and_its_finally_reads_that_it_was_cancelled() -> None:
    replaced = Order(cancel=CancelMode.GRACEFUL, reason=RunReason.REPLACED, message="run b takes its place")
    ending, _ = run(A_THEN_Z, tools := ScriptedTools({"a": after(10, 1)}), orders={3: replaced})
    assert ending == Ending(Outcome.CANCELLED, RunReason.REPLACED, "run b takes its place")
    assert tools.arguments("z") == {"why": "Cancelled"}


def test_a_pod_that_finds_its_run_cancelled_runs_finally_only() -> None:
    ending, records = run(A_THEN_Z, tools := ScriptedTools(), orders={0: GRACEFUL})
    assert ending == STOPPED
    assert set(tools.began) == {"z"}
    assert records.words("a") == f"RunCancelled: {GRACEFUL.message}"


def test_a_failure_that_came_before_the_order_stays_the_run_s_end() -> None:
    workflow = a_spec(a_task("bad"), a_task("long"))
    ending, _ = run(workflow, ScriptedTools({"bad": failing(1), "long": after(99, 1)}), orders={3: GRACEFUL})
    assert (ending.outcome, ending.reason) == (Outcome.FAILED, RunReason.TASK_FAILED)


@pytest.mark.parametrize(
    ("order", "ending", "second"),
    [
        pytest.param(GRACEFUL, None, 5, id="graceful"),
        pytest.param(IMMEDIATE, None, 5, id="immediate"),
        pytest.param(SUSPEND, HELD, 15, id="suspend"),
    ],
)
def test_an_order_to_a_pod_that_is_asked_to_stop_leaves_the_run_open(
    order: Order, ending: Ending | None, second: int
) -> None:
    workflow = a_spec(a_task("a"), a_task("b", depends_on=("a",)), finally_=[a_task("z")])
    tools = ScriptedTools({"a": after(1000, 1)})
    found, records = run(workflow, tools, stop_after=3, patience_seconds=12, orders={5: order})
    assert found == ending
    assert records.last_phases() == {"a": "Running"}
    assert tools.ended == {"a": second}


# --- a pod that is asked to stop leaves what another can go on with --------------------------------------------------


@pytest.mark.parametrize("tool", [pytest.param("read", id="repeatable"), pytest.param("delete", id="not repeatable")])
@pytest.mark.parametrize("second", [3, 9])
def test_a_stop_in_or_before_a_pause_leaves_the_unit_to_another_pod(tool: str, second: int) -> None:
    workflow = a_spec(a_task("a", tool=tool))
    busy = failing(5, "busy", ErrorClass.BUSY, never_sent=True)
    retry = {"backoff_seconds": 10}
    tools = ScriptedTools({"a": busy})
    ending, records = run(workflow, tools, stop_after=second, patience_seconds=12, unsafe=("delete",), retry=retry)
    assert ending is None
    assert records.last_phases() == {"a": "Pending"}
    ending, _ = run(workflow, ScriptedTools(), recorded=records.recorded(), unsafe=("delete",), retry=retry)
    assert ending.outcome == Outcome.SUCCEEDED


def test_a_harmless_call_of_a_lost_pod_is_left_to_the_next_by_one_that_has_no_room_for_it_any_more() -> None:
    workflow = a_spec(a_task("long", tool="delete"), a_task("a"), max_parallel_tasks=1)
    lost = {"a": UnitRecord("a", TaskPhase.RUNNING, attempts=1)}
    tools = ScriptedTools({"a": after(5, 1), "long": after(5, 1)})
    ending, records = run(workflow, tools, recorded=lost, stop_after=3, patience_seconds=12)
    assert ending is None
    assert set(tools.began) == {"long"}
    assert records.last("a").phase == TaskPhase.RUNNING


def test_a_retry_that_can_not_be_made_any_more_fails_as_its_last_attempt_did() -> None:
    workflow = a_spec(a_task("busy"), a_task("bad"))
    script = {"busy": failing(1, "busy", ErrorClass.BUSY, never_sent=True), "bad": failing(3)}
    _, records = run(workflow, tools := ScriptedTools(script), retry={"backoff_seconds": 20})
    assert records.words("busy") == "Busy: busy"
    assert tools.ended == {"busy": 1, "bad": 3}


# --- the gate --------------------------------------------------------------------------------------------------------


def test_a_gate_that_is_held_tells_each_time_that_nothing_is_under_way() -> None:
    told: list[int] = []
    outer = Gate()
    inner = Gate(outer)
    with inner.under_way():
        outer.hold(lambda: told.append(len(told)))
        assert inner.held
        assert told == []
    assert told == [0]
    outer.release()
    with inner.under_way():
        pass
    assert told == [0]
