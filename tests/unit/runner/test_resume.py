"""Crashes: a run whose pods die at any moment goes on from its record, and does nothing twice that must not be.

The record is modelled after the real one: changes become durable together, once a second and whenever somebody waits
for that. A crash comes right before or right after any such write; calls that are under way then may or may not have
had their effect.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task, an_output
from tests.unit.cluster import virtual_time
from tests.unit.runner.scripted_tools import START, Records, ScriptedTools, after, failing, nested_task, run, servers

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import Outcome, TaskPhase
from mcp_orchestrator.api.workflowtemplate import ForEach, OnFailure, Task, WorkflowTemplateSpec
from mcp_orchestrator.runner import execute
from mcp_orchestrator.runner.calls import Call, CallFailed
from mcp_orchestrator.runner.execute import Surroundings
from mcp_orchestrator.runner.records import Ending, UnitRecord
from mcp_orchestrator.runner.results import Answer

UNSAFE = "write"


@dataclass
class Ledger:
    """A Reporter whose writes become durable, until the process dies at one of them."""

    durable: Mapping[str, UnitRecord]
    crash_at: int
    """Number of the write at which the process dies; 0 for never."""
    after_write: bool
    died: asyncio.Future[None]
    current: dict[str, UnitRecord] = field(default_factory=dict)
    writes: int = 0
    writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    def update(self, record: UnitRecord) -> None:
        self.current[record.name] = record

    def conceal(self, value: Any) -> None:
        pass

    async def keep(self, answer: Answer) -> None:
        pass

    async def commit(self) -> None:
        async with self.writing:
            await self._write()

    async def _write(self) -> None:
        self.writes += 1
        if self.writes == self.crash_at and not self.after_write:
            await self._die()
        told = dict(self.current)
        await asyncio.sleep(0.01)
        if self.died.done():
            await asyncio.Future()
        for name, record in self.durable.items():
            if record.phase.final:
                assert told[name].phase == record.phase, f"{name} had ended already"
                assert _value(told[name]) == _value(record)
        self.durable = told
        if self.writes == self.crash_at and self.after_write:
            await self._die()

    async def keep_writing(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.current != self.durable:
                await self.commit()

    async def _die(self) -> None:
        if not self.died.done():
            self.died.set_result(None)
        await asyncio.Future()


@dataclass
class Server:
    """Tools with effects that outlast every process; what each unit's call does follows from its name alone."""

    seconds: Mapping[str, int]
    fails: frozenset[str]
    early: frozenset[str]
    """Units whose call has its effect as soon as it arrives, not when it is answered."""
    effects: Counter[str] = field(default_factory=Counter)

    async def call(self, call: Call) -> Answer:
        task = call.unit.split("[")[0]
        if task in self.early:
            self.effects[call.unit] += 1
        await asyncio.sleep(self.seconds.get(task, 1))
        if task not in self.early:
            self.effects[call.unit] += 1
        if task in self.fails:
            raise CallFailed(ErrorClass.TOOL, f"{call.unit} says no")
        return Answer.of({"unit": call.unit, "given": dict(call.arguments)})


def _value(record: UnitRecord) -> Any:
    return record.answer.result if record.answer else None


def live(
    workflow: WorkflowTemplateSpec,
    nested: Mapping[str, WorkflowTemplateSpec],
    server: Server,
    durable: Mapping[str, UnitRecord],
    crash: tuple[int, bool] = (0, False),
) -> tuple[Ending | None, Mapping[str, UnitRecord]]:
    """One process: how the run ended, if it did, and what is on record then."""

    async def main() -> tuple[Ending | None, Mapping[str, UnitRecord]]:
        loop = asyncio.get_running_loop()
        ledger = Ledger(durable, *crash, loop.create_future())
        around = Surroundings(servers(workflow, *nested.values(), unsafe=(UNSAFE,)), nested, durable)
        work = loop.create_task(
            execute.execute(
                workflow, {}, around, server, ledger, timeout_seconds=10**6,
                clock=lambda: START + timedelta(seconds=loop.time()), chance=lambda: 0.5,
            )
        )  # fmt: skip
        writer = loop.create_task(ledger.keep_writing())
        await asyncio.wait({work, ledger.died}, return_when=asyncio.FIRST_COMPLETED)
        ending = None
        if work.done():
            ending = work.result()
            if not ledger.died.done():
                last = loop.create_task(ledger.commit())
                await asyncio.wait({last, ledger.died}, return_when=asyncio.FIRST_COMPLETED)
                last.cancel()
        if ledger.died.done():
            ending = None
        for task in (work, writer):
            task.cancel()
        await asyncio.wait({work, writer})
        return ending, ledger.durable

    return virtual_time.run(main())


@st.composite
def workflows(draw: st.DrawFn) -> tuple[WorkflowTemplateSpec, dict[str, WorkflowTemplateSpec], Server]:
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
    )
    return a_spec(*tasks, finally_=final, max_parallel_tasks=draw(st.integers(1, 4))), {"inner": inner}, server


@st.composite
def _tasks(draw: st.DrawFn, name: str, earlier: list[str]) -> Task:
    needs = sorted(draw(st.sets(st.sampled_from(earlier), max_size=3))) if earlier else []
    fields: dict[str, Any] = {"depends_on": tuple(needs)}
    if draw(st.booleans()):
        fields["depends_on"] = tuple(f"tasks.{other}.succeeded || tasks.{other}.failed" for other in needs)
    fields["on_failure"] = OnFailure.CONTINUE
    if draw(st.integers(0, 4)) == 0:
        return nested_task(name, "inner", **fields)
    if draw(st.integers(0, 3)) == 0:
        fields["for_each"] = ForEach(items=["x", "y", "z"], max_parallel=draw(st.integers(1, 2)))
    return a_task(name, tool=draw(st.sampled_from(["read", UNSAFE])), arguments={}, **fields)


@given(workflows(), st.lists(st.tuples(st.integers(1, 12), st.booleans()), max_size=4))
def test_whenever_pods_die_no_unsafe_call_is_made_twice_and_every_task_ends_once(
    drawn: tuple[WorkflowTemplateSpec, dict[str, WorkflowTemplateSpec], Server], crashes: list[tuple[int, bool]]
) -> None:
    workflow, nested, server = drawn
    quiet, expected = live(workflow, nested, replace(server, effects=Counter()), {})
    durable: Mapping[str, UnitRecord] = {}
    ending: Ending | None = None
    for crash in (*crashes, (0, False)):
        ending, durable = live(workflow, nested, server, durable, crash)
        if ending:
            break
    assert ending
    assert quiet
    unsafe = {task.name for task in workflow.tasks if task.tool == UNSAFE}
    for unit, times in server.effects.items():
        if unit.split("[")[0] in unsafe or unit.endswith("/b"):
            assert times <= 1, unit
    assert all(record.phase.final for record in durable.values())
    if not any(record.phase == TaskPhase.INDETERMINATE for record in durable.values()):
        assert (ending.outcome, ending.reason, ending.outputs) == (quiet.outcome, quiet.reason, quiet.outputs)
        assert {name: (record.phase, _value(record)) for name, record in durable.items()} == {
            name: (record.phase, _value(record)) for name, record in expected.items()
        }


@pytest.mark.parametrize("after_write", [False, True])
def test_a_run_goes_on_from_each_of_its_writes(after_write: bool) -> None:
    inner = a_spec(a_task("i", tool=UNSAFE, arguments={}), outputs=[an_output("o", "${{ tasks.i.result }}")])
    workflow = a_spec(
        a_task("a", tool="read", arguments={}),
        a_task("b", tool=UNSAFE, arguments={"x": "${{ tasks.a.result.unit }}"}),
        a_task("c", tool="read", arguments={"x": "${{ item }}"}, for_each=ForEach(items=["p", "q"]), depends_on=["b"]),
        nested_task("d", "inner", depends_on=["b"]),
        outputs=[an_output("all", ["${{ tasks.c.result }}", "${{ tasks.d.result.o }}"])],
    )
    seconds = dict.fromkeys("abcd", 2)
    quiet, expected = live(workflow, {"inner": inner}, Server(seconds, frozenset(), frozenset()), {})
    assert quiet
    assert quiet.outcome == Outcome.SUCCEEDED
    crashes = 0
    for number in range(1, 50):
        server = Server(seconds, frozenset(), frozenset())
        ending, durable = live(workflow, {"inner": inner}, server, {}, (number, after_write))
        if ending:
            break
        crashes += 1
        finished = {name for name, record in durable.items() if record.phase == TaskPhase.SUCCEEDED and record.attempts}
        before = Counter(server.effects)
        ending, durable = live(workflow, {"inner": inner}, server, durable)
        assert all(server.effects[name] == before[name] for name in finished), "a finished call was made again"
        assert ending
        if ending.outcome == Outcome.SUCCEEDED:
            assert ending.outputs == quiet.outputs
            assert {name: _value(record) for name, record in durable.items()} == {
                name: _value(record) for name, record in expected.items()
            }
    assert crashes >= 5


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
