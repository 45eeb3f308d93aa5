"""The graph of tasks: who waits for whom, who needs whose success, and cycles."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import builders

from mcp_orchestrator.api.task import ForEach, Retry
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.planning.workflows import graph
from mcp_orchestrator.planning.workflows.graph import Graph, Node


def of(**waits: Iterable[str]) -> Graph:
    """A graph in which tasks wait, and need nobody's success."""
    return Graph({name: Node(waits=tuple(others)) for name, others in waits.items()})


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs of up to 12 tasks, many of them with cycles."""
    names = [f"t{index}" for index in range(draw(st.integers(1, 12)))]
    return of(**{name: draw(st.sets(st.sampled_from(names), max_size=3)) for name in names})


def has_cycle(dependencies: Mapping[str, tuple[str, ...]]) -> bool:
    """The slow and obvious way: some task reaches itself."""
    reached = {name: set(others) for name, others in dependencies.items()}
    for _ in dependencies:
        for name in dependencies:
            reached[name] |= {far for near in reached[name] for far in reached[near]}
    return any(name in reached[name] for name in dependencies)


@pytest.mark.parametrize(
    ("fields", "waits", "needs"),
    [
        pytest.param({}, "", "", id="nothing"),
        pytest.param({"depends_on": ["c", "a"]}, "ac", "ac", id="names, in the order of the list"),
        pytest.param({"arguments": {"x": ["${{ tasks.b.result }}"]}}, "b", "b", id="a result"),
        pytest.param({"arguments": {"x": "${{ tasks.b.text + tasks.c.result.d }}"}}, "bc", "bc", id="two"),
        pytest.param({"arguments": {"x": "${{ tasks.b.failed }}"}}, "b", "", id="how a task ended"),
        pytest.param({"arguments": {"x": "${{ has(tasks.b.result) ? tasks.b.result : 1 }}"}}, "b", "", id="a test"),
        pytest.param({"arguments": {"x": "${{ tasks.gone.result }}", "y": "${{ tasks. }}"}}, "", "", id="mistakes"),
        pytest.param({"when": "tasks.a.failed || tasks.b.result == 1"}, "ab", "b", id="when"),
        pytest.param({"depends_on": ["tasks.a.failed && tasks.b.skipped"]}, "ab", "", id="a condition"),
        pytest.param(
            {"depends_on": ["tasks.a.failed || tasks.a.succeeded"], "arguments": {"x": "${{ tasks.a.result }}"}},
            "a", "", id="a condition releases from needing success",
        ),
        pytest.param(
            {"depends_on": ["a", "tasks.a.attempts > 1"]}, "a", "a", id="a name asks for success all the same"
        ),
        pytest.param({"for_each": ForEach(items="${{ tasks.a.result }}", key="tasks.b.text")}, "ab", "ab", id="items"),
        pytest.param({"success_when": "result == tasks.a.result"}, "a", "a", id="successWhen"),
        pytest.param({"retry": Retry(when="attempt < tasks.a.result")}, "a", "a", id="retry.when"),
    ],
)  # fmt: skip
def test_a_task_waits_for_what_it_names_and_needs_what_it_uses(fields: Any, waits: str, needs: str) -> None:
    tasks = [builders.a_task(name, arguments={}) for name in "abc"]
    given_fields = {"arguments": {}, **fields}
    found = graph.build([builders.a_task("x", **given_fields), *tasks]).nodes["x"]
    assert found == Node(waits=tuple(waits), needs=tuple(needs))


def test_a_task_of_finally_waits_for_its_own_kind_and_may_need_the_others() -> None:
    last = builders.a_task("last", arguments={"x": "${{ tasks.early.result }}"}, depends_on=["first"])
    found = graph.build([last, builders.a_task("first")], ended=["early", "other"])
    assert found.nodes["last"] == Node(waits=("first",), needs=("early", "first"))
    assert found.dependents() == {"last": (), "first": ("last",)}


@pytest.mark.parametrize(
    ("phases", "unmet"),
    [
        pytest.param({"a": "Succeeded", "b": "Succeeded"}, None, id="all succeeded"),
        pytest.param({"a": "Succeeded", "b": "Skipped"}, "b", id="one was skipped"),
        pytest.param({"a": "Indeterminate", "b": "Failed"}, "a", id="the first one is named"),
    ],
)
def test_what_is_needed_must_have_succeeded(phases: Mapping[str, str], unmet: str | None) -> None:
    found = {name: TaskPhase(phase) for name, phase in phases.items()}
    assert graph.unmet(Node(waits=("a", "b"), needs=("a", "b")), found) == unmet
    assert graph.unmet(Node(waits=("a", "b")), found) is None


def test_a_cycle_is_told_as_a_way_that_leads_back() -> None:
    tasks = of(start=(), behind=("a",), a=("start", "b"), b=("c",), c=("a",))
    assert graph.find_cycle(tasks) == ("a", "b", "c", "a")


@given(graphs())
def test_a_cycle_is_found_if_and_only_if_there_is_one_and_it_is_real(tasks: Graph) -> None:
    cycle = graph.find_cycle(tasks)
    assert (cycle is not None) == has_cycle({name: node.waits for name, node in tasks.nodes.items()})
    if cycle:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        assert all(after in tasks.nodes[name].waits for name, after in itertools.pairwise(cycle))
