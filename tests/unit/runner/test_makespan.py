"""How long a run takes, in a simulated time: no task waits for anything but its dependencies and a free place."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task
from tests.unit.runner.scripted_tools import ScriptedTools, after, run

from mcp_orchestrator.api.task import ForEach, Task
from mcp_orchestrator.api.workflowrunstatus import Outcome

TOLERANCE = 1.05


@st.composite
def timed_graphs(draw: st.DrawFn) -> tuple[list[Task], dict[str, float]]:
    """A random graph of up to 30 tasks and how long each takes."""
    names = [f"t{index}" for index in range(draw(st.integers(1, 30)))]
    tasks = [
        a_task(name, arguments={}, depends_on=sorted(draw(st.sets(st.sampled_from(names[:index]), max_size=4))))
        if index
        else a_task(name, arguments={})
        for index, name in enumerate(names)
    ]
    return draw(st.permutations(tasks)), {name: draw(st.integers(1, 60)) for name in names}


def critical_path(tasks: list[Task], seconds: dict[str, float]) -> float:
    """The longest way through the graph: no run can be faster."""
    needs = {task.name: task.depends_on for task in tasks}
    ends: dict[str, float] = {}

    def end(name: str) -> float:
        if name not in ends:
            ends[name] = seconds[name] + max((end(other) for other in needs[name]), default=0.0)
        return ends[name]

    return max(map(end, needs))


def makespan(tasks: list[Task], seconds: dict[str, float], width: int) -> float:
    tools = ScriptedTools({name: after(duration, None) for name, duration in seconds.items()})
    ending, _ = run(a_spec(*tasks, max_parallel_tasks=width), tools, timeout_seconds=10**6)
    assert ending
    assert ending.outcome == Outcome.SUCCEEDED
    return max(tools.ended.values())


@given(timed_graphs())
def test_with_room_for_all_a_run_takes_as_long_as_its_critical_path(drawn: tuple[list[Task], dict[str, float]]) -> None:
    tasks, seconds = drawn
    assert makespan(tasks, seconds, 64) <= TOLERANCE * critical_path(tasks, seconds)


@given(timed_graphs(), st.integers(1, 6))
def test_with_little_room_a_run_keeps_to_the_bound_of_schedules_that_leave_no_place_idle(
    drawn: tuple[list[Task], dict[str, float]], width: int
) -> None:
    """Graham's bound for list scheduling: work / width + critical path × (1 − 1 / width)."""
    tasks, seconds = drawn
    bound = sum(seconds.values()) / width + critical_path(tasks, seconds) * (1 - 1 / width)
    assert makespan(tasks, seconds, width) <= TOLERANCE * bound


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), st.integers(1, 8))
def test_the_items_of_a_task_leave_no_place_idle_either(seconds: list[int], width: int) -> None:
    answers = {f"t[{index}]": after(duration, None) for index, duration in enumerate(seconds)}
    task = a_task("t", arguments={}, for_each=ForEach(items=[None] * len(seconds), max_parallel=width))
    run(a_spec(task, max_parallel_tasks=64), tools := ScriptedTools(answers), timeout_seconds=10**6)
    assert max(tools.ended.values()) <= TOLERANCE * (sum(seconds) / width + max(seconds) * (1 - 1 / width))
