"""The graph of tasks: what may start, what never can, and cycles."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders

from mcp_orchestrator.api.workflowrun import TaskPhase
from mcp_orchestrator.planning import graph
from mcp_orchestrator.planning.graph import Graph

PENDING, RUNNING, SUCCEEDED = TaskPhase.PENDING, TaskPhase.RUNNING, TaskPhase.SUCCEEDED
FAILED, SKIPPED = TaskPhase.FAILED, TaskPhase.SKIPPED


@st.composite
def graphs(draw: st.DrawFn, cycles: bool = False) -> Graph:
    """Graphs of up to 12 tasks whose order in the template says nothing about their order in a run."""
    names = draw(st.permutations([f"t{index}" for index in range(draw(st.integers(1, 12)))]))
    edges = {
        name: draw(st.sets(st.sampled_from(names if cycles else names[:index]))) if cycles or index else set()
        for index, name in enumerate(names)
    }
    template = draw(st.permutations(names))
    return Graph({name: tuple(other for other in template if other in edges[name]) for name in template})


def has_cycle(dependencies: Mapping[str, tuple[str, ...]]) -> bool:
    """The slow and obvious way: some task reaches itself."""
    reached = {name: set(others) for name, others in dependencies.items()}
    for _ in dependencies:
        for name in dependencies:
            reached[name] |= {far for near in reached[name] for far in reached[near]}
    return any(name in reached[name] for name in dependencies)


def test_dependencies_are_those_declared_and_those_that_expressions_imply() -> None:
    spec = builders.a_spec(
        builders.a_task(
            "last", arguments={"x": ["${{ tasks.first.result }}", {"y": "${{ tasks['mid-dle'].result }}"}]}
        ),
        builders.a_task("mid-dle", depends_on=["first"], arguments={"again": "${{ tasks.first.result.a }}"}),
        builders.a_task("first"),
    )
    assert graph.build(spec) == Graph({"last": ("mid-dle", "first"), "mid-dle": ("first",), "first": ()})


def test_names_of_no_task_and_broken_expressions_add_no_dependency() -> None:
    spec = builders.a_spec(
        builders.a_task("only", depends_on=["gone"], arguments={"a": "${{ tasks.gone.result }}", "b": "${{ tasks. }}"})
    )
    assert graph.build(spec) == Graph({"only": ()})


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        pytest.param({}, ("plan",), id="at the start, what waits for nothing"),
        pytest.param({"plan": RUNNING}, (), id="nothing beside a running dependency"),
        pytest.param({"plan": SUCCEEDED}, ("search", "write"), id="all that waited, in template order"),
        pytest.param({"plan": SUCCEEDED, "write": RUNNING}, ("search",), id="not what runs already"),
        pytest.param({"plan": SUCCEEDED, "write": SUCCEEDED, "search": FAILED}, (), id="not behind a failure"),
    ],
)
def test_a_task_may_start_when_everything_it_waits_for_has_succeeded(
    phases: Mapping[str, TaskPhase], expected: tuple[str, ...]
) -> None:
    tasks = Graph({"search": ("plan",), "report": ("search", "write"), "write": ("plan",), "plan": ()})
    assert graph.ready(tasks, phases) == expected


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        pytest.param({"a": SUCCEEDED}, {}, id="nobody while all is well"),
        pytest.param({"a": FAILED}, {"c": "b", "b": "a"}, id="everybody behind a failure, the nearest one named"),
        pytest.param({"a": SUCCEEDED, "b": SKIPPED}, {"c": "b"}, id="behind a skipped task"),
        pytest.param({"a": FAILED, "b": SKIPPED, "c": SKIPPED}, {}, id="nobody twice"),
        pytest.param({"a": FAILED, "b": RUNNING}, {}, id="not what runs already"),
    ],
)
def test_a_task_is_doomed_behind_a_task_that_did_not_succeed(
    phases: Mapping[str, TaskPhase], expected: Mapping[str, str]
) -> None:
    assert graph.doomed(Graph({"c": ("b",), "b": ("a",), "a": (), "other": ()}), phases) == expected


def test_a_cycle_is_told_as_a_way_that_leads_back() -> None:
    tasks = Graph({"start": (), "behind": ("a",), "a": ("start", "b"), "b": ("c",), "c": ("a",)})
    assert graph.find_cycle(tasks) == ("a", "b", "c", "a")


@given(graphs(), st.data())
def test_every_graph_is_driven_to_its_end_with_each_task_started_once_after_its_dependencies(
    tasks: Graph, data: st.DataObject
) -> None:
    phases: dict[str, TaskPhase] = {}
    started: list[str] = []
    while len(phases) < len(tasks.dependencies) or RUNNING in phases.values():
        phases |= dict.fromkeys(graph.doomed(tasks, phases), SKIPPED)
        may_start = graph.ready(tasks, phases)
        running = [name for name, phase in phases.items() if phase == RUNNING]
        assert may_start or running or len(phases) == len(tasks.dependencies)
        if may_start and (not running or data.draw(st.booleans())):
            started.append(may_start[0])
            assert all(phases[other] == SUCCEEDED for other in tasks.dependencies[may_start[0]])
            phases[may_start[0]] = RUNNING
        elif running:
            phases[data.draw(st.sampled_from(running))] = data.draw(st.sampled_from([SUCCEEDED, FAILED]))
    assert len(set(started)) == len(started)
    assert set(started) == {name for name, phase in phases.items() if phase != SKIPPED}


@given(graphs(), st.data())
def test_a_task_is_doomed_exactly_if_a_failure_can_be_reached_from_it(tasks: Graph, data: st.DataObject) -> None:
    failed = data.draw(st.sampled_from(list(tasks.dependencies)))
    reached = {failed}
    for _ in tasks.dependencies:
        reached |= {name for name, others in tasks.dependencies.items() if reached.intersection(others)}
    doomed = graph.doomed(tasks, {failed: FAILED})
    assert doomed.keys() == reached - {failed}
    assert all(stopper in tasks.dependencies[name] and stopper in reached for name, stopper in doomed.items())


@given(graphs(cycles=True))
def test_a_cycle_is_found_if_and_only_if_there_is_one_and_it_is_real(tasks: Graph) -> None:
    cycle = graph.find_cycle(tasks)
    assert (cycle is not None) == has_cycle(tasks.dependencies)
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in tasks.dependencies[name] for name, after in itertools.pairwise(cycle))
