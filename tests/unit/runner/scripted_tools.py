"""A ToolCaller that answers from a script, and a Reporter that remembers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import TaskPhase
from mcp_orchestrator.runner.calls import Call, CallFailed
from mcp_orchestrator.runner.execute import TaskRecord

Answer = Callable[[Call], Awaitable[Any]]


def after(seconds: float, result: Any) -> Answer:
    """Give `result` after that long on the loop's clock."""

    async def answer(_: Call) -> Any:
        await asyncio.sleep(seconds)
        return result

    return answer


def failing(seconds: float, message: str = "no", error_class: ErrorClass = ErrorClass.TOOL) -> Answer:
    """Fail after that long on the loop's clock."""

    async def answer(_: Call) -> Any:
        await asyncio.sleep(seconds)
        raise CallFailed(error_class, message)

    return answer


@dataclass
class ScriptedTools:
    """Answers each task as `answers` says, else at once with null, and counts what goes on at the same time."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    began: dict[str, float] = field(default_factory=dict)
    ended: dict[str, float] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    now: int = 0
    most: int = 0

    async def call(self, call: Call) -> Any:
        clock = asyncio.get_running_loop().time
        self.calls.append(call)
        self.began[call.task] = clock()
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self.answers.get(call.task, after(0.0, None))(call)
        except asyncio.CancelledError:
            self.cancelled.append(call.task)
            raise
        finally:
            self.now -= 1
            self.ended[call.task] = clock()


@dataclass
class Records:
    """Every change of every task, in order."""

    seen: list[TaskRecord] = field(default_factory=list)

    def update(self, record: TaskRecord) -> None:
        self.seen.append(record)

    def last(self, name: str) -> TaskRecord:
        return [record for record in self.seen if record.name == name][-1]

    def phases(self, name: str) -> list[TaskPhase]:
        return [record.phase for record in self.seen if record.name == name]

    def last_phases(self) -> dict[str, str]:
        return {record.name: str(record.phase) for record in self.seen}
