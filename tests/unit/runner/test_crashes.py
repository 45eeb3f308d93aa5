"""Crashes: a run whose pods die at any moment goes on from its record, and does nothing twice that must not be.

A pod dies, or is cut off, right before or right after any of its writes, or at any other moment; calls that are under
way then may or may not have had their effect.
"""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task, an_output
from tests.unit.runner.mortal_pods import NEVER, UNSAFE, Break, Run, Server, Suspension, endings_taken_back
from tests.unit.runner.scripted_tools import nested_task

from mcp_orchestrator.api.task import ForEach, OnFailure, Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Workflow

Drawn = tuple[Workflow, dict[str, Workflow], Server]


@st.composite
def workflows(draw: st.DrawFn) -> Drawn:
    """A random graph of safe and unsafe calls, fan-outs and nested workflows, and a server for it."""
    names = [f"t{index}" for index in range(draw(st.integers(1, 7)))]
    inner = a_spec(
        a_task("a", tool=draw(st.sampled_from(["read", UNSAFE])), arguments={}),
        a_task("b", tool=UNSAFE, arguments={"x": "${{ tasks.a.result }}"}),
        outputs=[an_output("b", "${{ tasks.b.result }}")],
    )
    tasks = [draw(_tasks(name, names[:index])) for index, name in enumerate(names)]
    final = (a_task("z", tool=UNSAFE, arguments={"ok": "${{ run.succeeded }}"}),) if draw(st.booleans()) else ()
    server = Server(
        seconds={name: draw(st.integers(0, 3)) for name in names},
        fails=frozenset(name for name in names if draw(st.integers(0, 7)) == 0),
        early=frozenset(name for name in names if draw(st.booleans())),
        large=frozenset(name for name in names if draw(st.integers(0, 3)) == 0),
        talks=frozenset(name for name in names if draw(st.integers(0, 3)) == 0),
        busy=frozenset(name for name in names if draw(st.integers(0, 2)) == 0),
    )
    return a_spec(*tasks, finally_=final, max_parallel_tasks=draw(st.integers(1, 4))), {"inner": inner}, server


@st.composite
def _tasks(draw: st.DrawFn, name: str, earlier: list[str]) -> Task:
    needs = sorted(draw(st.sets(st.sampled_from(earlier), max_size=3))) if earlier else []
    fields: dict[str, Any] = {"depends_on": tuple(needs), "on_failure": OnFailure.CONTINUE}
    if draw(st.booleans()):
        fields["depends_on"] = tuple(f"tasks.{other}.succeeded || tasks.{other}.failed" for other in needs)
    if draw(st.integers(0, 4)) == 0:
        return nested_task(name, "inner", **fields)
    if draw(st.integers(0, 3)) == 0:
        fields["for_each"] = ForEach(items=["x", "y", "z"], max_parallel=draw(st.integers(1, 2)))
    arguments = {other: f"${{{{ tasks.{other}.result }}}}" for other in needs if draw(st.booleans())}
    return a_task(name, tool=draw(st.sampled_from(["read", UNSAFE])), arguments=arguments, **fields)


def assert_that_all_is_well(run: Run, workflow: Workflow, quiet: Run) -> None:
    """The run ended, did nothing twice that must not be, and came to the same as `quiet`, which lost no pod."""
    assert run.over
    assert list(endings_taken_back(run)) == []
    unsafe = {task.name for task in workflow.every_task if task.tool == UNSAFE}
    for unit, times in run.server.effects.items():
        if unit.split("[")[0] in unsafe or unit.endswith("/b"):
            assert times <= 1, unit
    ended = run.tasks()
    assert all(TaskPhase(phase).final for phase, *_ in ended.values())
    if not any(phase == TaskPhase.INDETERMINATE for phase, *_ in ended.values()):
        told = ("outcome", "reason", "message")
        assert [run.told["runner"][name] for name in told] == [quiet.told["runner"][name] for name in told]
        assert ended == quiet.tasks()


breaks = st.one_of(
    st.builds(Break, st.integers(1, 12), st.booleans()),
    st.builds(Break, seconds=st.integers(0, 24).map(lambda n: n / 2)),
)


@given(workflows(), st.lists(breaks, max_size=4))
def test_whenever_pods_die_no_unsafe_call_is_made_twice_and_every_task_ends_once(
    drawn: Drawn, crashes: list[Break]
) -> None:
    workflow, nested, server = drawn
    quiet, run = Run.of(workflow, nested, server.copy()), Run.of(workflow, nested, server)
    quiet.live()
    for crash in (*crashes, NEVER):
        run.live(crash)
        if run.over:
            break
    assert_that_all_is_well(run, workflow, quiet)


moments = st.integers(0, 24).map(lambda n: n / 2)
suspensions = st.builds(Suspension, moments, st.none() | moments)


@given(workflows(), st.lists(suspensions, min_size=1, max_size=4))
def test_a_run_that_is_suspended_at_any_moments_comes_to_what_it_does_undisturbed(
    drawn: Drawn, moments: list[Suspension]
) -> None:
    workflow, nested, server = drawn
    quiet, run = Run.of(workflow, nested, server.copy()), Run.of(workflow, nested, server)
    quiet.live()
    for suspension in moments:
        run.live_until_suspended(suspension)
        if run.over:
            break
    else:
        run.live()
    assert_that_all_is_well(run, workflow, quiet)
    assert run.tasks() == quiet.tasks()
    assert run.server.effects == quiet.server.effects, "a call was made twice, or not at all"


@given(workflows(), st.lists(breaks | suspensions, max_size=5))
def test_neither_crashes_nor_suspensions_make_an_unsafe_call_happen_twice(
    drawn: Drawn, troubles: list[Break | Suspension]
) -> None:
    workflow, nested, server = drawn
    quiet, run = Run.of(workflow, nested, server.copy()), Run.of(workflow, nested, server)
    quiet.live()
    for trouble in (*troubles, NEVER):
        if isinstance(trouble, Suspension):
            run.live_until_suspended(trouble)
        else:
            run.live(trouble)
        if run.over:
            break
    assert_that_all_is_well(run, workflow, quiet)


@given(workflows(), breaks, st.integers(0, 20))
def test_a_pod_that_was_only_cut_off_does_nothing_that_another_has_taken_over(
    drawn: Drawn, break_: Break, seconds: int
) -> None:
    workflow, nested, server = drawn
    quiet, run = Run.of(workflow, nested, server.copy()), Run.of(workflow, nested, server)
    quiet.live()
    run.outlive(break_, seconds)
    assert_that_all_is_well(run, workflow, quiet)


@pytest.mark.parametrize("after_write", [False, True])
def test_a_run_goes_on_from_each_of_its_writes(after_write: bool) -> None:
    inner = a_spec(a_task("i", tool=UNSAFE, arguments={}), outputs=[an_output("o", "${{ tasks.i.result.unit }}")])
    workflow = a_spec(
        a_task("a", tool="read", arguments={}),
        a_task("b", tool=UNSAFE, arguments={"x": "${{ tasks.a.result.unit }}"}),
        a_task("c", tool="read", arguments={"x": "${{ item }}"}, for_each=ForEach(items=["p", "q"]), depends_on=["b"]),
        nested_task("d", "inner", depends_on=["b"]),
        outputs=[an_output("all", ["${{ tasks.c.result.map(r, r.given) }}", "${{ tasks.d.result.o }}"])],
    )

    def new() -> Run:
        return Run.of(workflow, {"inner": inner}, Server(dict.fromkeys("abcd", 2), large=frozenset("bc")))

    quiet = new()
    quiet.live()
    assert quiet.told["runner"]["outcome"] == "Succeeded"
    crashes = 0
    for number in itertools.count(1):
        run = new()
        run.live(Break(number, after_write))
        if run.over:
            break
        crashes += 1
        finished = {name for name, (phase, *_) in run.tasks().items() if phase == TaskPhase.SUCCEEDED}
        before = Counter(run.server.effects)
        run.live()
        assert run.over
        assert all(run.server.effects[name] == before[name] for name in finished), "a finished call was made again"
        if run.told["runner"]["outcome"] == "Succeeded":
            assert run.told["outputs"] == quiet.told["outputs"]
            assert run.tasks() == quiet.tasks()
    assert crashes >= 8
