"""A ToolCaller that answers from a script, a Reporter that remembers, and an engine in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.cluster import virtual_time

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import ServerRetry
from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.runner.cache.sharing import Cache
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.control.orders import Order, Orders
from mcp_orchestrator.runner.control.stop import Stop, Stopped
from mcp_orchestrator.runner.engine import execute
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

Script = Callable[[Call], Awaitable[Any]]
START = datetime(2026, 11, 24, 12, tzinfo=UTC)


def after(seconds: float, result: Any) -> Script:
    """Give `result` after that long on the loop's clock."""

    async def answer(_: Call) -> Any:
        await asyncio.sleep(seconds)
        return result

    return answer


def failing(seconds: float, message: str = "no", error_class: ErrorClass = ErrorClass.TOOL, **fields: Any) -> Script:
    """Fail after that long on the loop's clock."""

    async def answer(_: Call) -> Any:
        await asyncio.sleep(seconds)
        raise CallFailed(error_class, message, **fields)

    return answer


def in_turn(*scripts: Script) -> Script:
    """Answer the first call by the first script, the second by the second; the last one answers all further ones."""
    left = list(scripts)

    async def answer(call: Call) -> Any:
        return await (left.pop(0) if len(left) > 1 else left[0])(call)

    return answer


@dataclass
class ScriptedTools:
    """Answers each unit as `answers` says, its task if that says nothing of the item, else at once with null."""

    answers: Mapping[str, Script] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0

    async def call(self, call: Call) -> Answer:
        clock = asyncio.get_running_loop().time
        self.calls.append(call)
        self.began[call.unit] = clock()
        self.now += 1
        self.most = max(self.most, self.now)
        script = self.answers.get(call.unit) or self.answers.get(call.unit.split("[")[0]) or after(0.0, None)
        try:
            return Answer.of(await script(call))
        except asyncio.CancelledError:
            self.cancelled.append(call.unit)
            raise
        finally:
            self.now -= 1
            self.ended[call.unit] = clock()

    def arguments(self, unit: str) -> dict[str, Any]:
        """Those of the unit's last call."""
        return dict(next(call.arguments for call in reversed(self.calls) if call.unit == unit))


@dataclass
class Records:
    """Every change of every unit, in order."""

    seen: list[UnitRecord] = field(default_factory=list)
    commits: list[dict[str, TaskPhase]] = field(default_factory=list)
    secret: bytes = b""

    def update(self, record: UnitRecord) -> None:
        self.seen.append(record)

    def conceal(self, value: Any) -> None:
        pass

    async def keep(self, answer: Answer) -> None:
        pass

    def hides(self, encoded: bytes) -> bool:
        return bool(self.secret) and self.secret in encoded

    async def commit(self) -> None:
        self.commits.append({record.name: record.phase for record in self.seen})

    def last(self, name: str) -> UnitRecord:
        return [record for record in self.seen if record.name == name][-1]

    def phases(self, name: str) -> list[TaskPhase]:
        """The phases that the unit went through."""
        phases = [record.phase for record in self.seen if record.name == name]
        return [phase for place, phase in enumerate(phases) if place == 0 or phases[place - 1] != phase]

    def last_phases(self) -> dict[str, str]:
        return {record.name: str(record.phase) for record in self.seen}

    def words(self, name: str) -> str:
        """Why the unit failed or was skipped."""
        record = self.last(name)
        return (
            f"{record.error.class_}: {record.error.message}" if record.error else f"{record.reason}: {record.message}"
        )

    def recorded(self) -> dict[str, UnitRecord]:
        return {record.name: record for record in self.seen}


def servers(*workflows: Workflow, unsafe: tuple[str, ...] = (), **retry: int) -> dict[str, ResolvedServer]:
    """The servers of all tasks, their tools repeatable but for those named in `unsafe`. No waits between attempts."""
    tools: dict[str, set[str]] = {}
    for workflow in workflows:
        for task in (*workflow.tasks, *workflow.finally_):
            if task.server and task.tool:
                tools.setdefault(task.server, set()).add(task.tool)
    given = ServerRetry(**{"attempts": 3, "backoff_seconds": 0, **retry})
    return {
        name: ResolvedServer(
            name=name,
            url=f"http://{name}",
            retry=given,
            tools=tuple(ResolvedTool(name=tool, repeatable=tool not in unsafe) for tool in sorted(found)),
        )
        for name, found in tools.items()
    }


def run(
    workflow: Workflow,
    tools: ScriptedTools,
    *,
    params: dict[str, Any] | None = None,
    nested: Mapping[str, Workflow] | None = None,
    recorded: Mapping[str, UnitRecord] | None = None,
    unsafe: tuple[str, ...] = (),
    timeout_seconds: float = 3600,
    stop_after: float | None = None,
    patience_seconds: float = 0,
    orders: Mapping[float, Order] | None = None,
    retry: Mapping[str, int] | None = None,
    cache: Cache | None = None,
    secret: bytes = b"",
) -> tuple[Ending | None, Records]:
    """Execute in virtual time, with orders at their seconds; no ending if the run was stopped."""
    records, inner = Records(secret=secret), dict(nested or {})

    async def main() -> Ending | None:
        loop = asyncio.get_running_loop()
        stop: asyncio.Future[Stop] = loop.create_future()
        if stop_after is not None:
            loop.call_later(stop_after, stop.set_result, Stop("the pod was asked to stop", patience_seconds))
        given = dict(orders or {})
        told = Orders(given.pop(0, None))
        for second, order in given.items():
            loop.call_later(second, told.give, order)
        around = Surroundings(
            servers(workflow, *inner.values(), unsafe=unsafe, **(retry or {})), inner, dict(recorded or {})
        )
        try:
            return await execute.execute(
                workflow,
                params or {},
                around,
                tools,
                records,
                timeout_seconds=timeout_seconds,
                clock=lambda: START + timedelta(seconds=loop.time()),
                stop=stop,
                orders=told,
                cache=cache,
                chance=lambda: 0.5,
            )
        except Stopped:
            return None

    return virtual_time.run(main()), records


def nested_task(name: str, template: str, **fields: Any) -> Task:
    """A task that runs a workflow."""
    return Task(name=name, template={"name": template}, **fields)
