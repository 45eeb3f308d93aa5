"""forEach: a task once for each item, so many at a time, and what comes of them together. Part of the engine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import ForEach, Task
from mcp_orchestrator.api.taskstatus import SkipReason, TaskError, TaskPhase
from mcp_orchestrator.planning import expressions, plain, wording
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.engine.gate import Gate
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import UnitFailed, UnitRecord, UnitSkipped

MAX_KEY = 128
"""Characters of an item's key."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a forEach."""

    unit: str
    key: str
    index: int
    value: Any


@dataclass(frozen=True, slots=True)
class Collected:
    """What the items came to, together."""

    answer: Answer
    items: tuple[Mapping[str, Any], ...]
    failures: int


Perform = Callable[[Item, Gate], Awaitable[UnitRecord]]
"""Runs one item to its end; the record of it. Raises UnitSkipped if it is not run."""


async def spread(
    task: Task, unit: str, scope: Scope, perform: Perform, *, board: Board, gate: Gate, width: int
) -> Collected:
    """Run all items. Raises UnitFailed if more of them fail than may."""
    assert task.for_each  # noqa: S101 - the caller asked
    found, keyed = items(task.for_each, unit, scope)
    if why := board.take_in([item.unit for item in found]):
        message = f"forEach.items: with these {len(found)} items {why}"
        raise UnitFailed(TaskError(class_=ErrorClass.EXPRESSION, message=message))
    run = _Spread(task.for_each, unit, perform, board, Gate(gate), len(found))
    # What was under way in a lost pod comes first: it is brought to its end, whatever becomes of the others.
    waiting = iter(sorted(found, key=run.is_fresh))
    workers = min(task.for_each.max_parallel or width, len(found))
    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(run.work(waiting))
    return run.collected(found, keyed=keyed)


def items(for_each: ForEach, unit: str, scope: Scope) -> tuple[tuple[Item, ...], bool]:
    """The items, and whether they have keys of their own. Raises UnitFailed."""
    try:
        value = expressions.evaluate(for_each.items, scope)
    except expressions.ExpressionFailed as error:
        raise _unusable("items", str(error)) from error
    if not isinstance(value, dict | list):
        raise _unusable("items", f"they are {plain.kind(value)}, and must be a list or an object")
    pairs = list(value.items()) if isinstance(value, dict) else [(str(index), item) for index, item in enumerate(value)]
    if for_each.key is not None:
        pairs = [
            (_key(for_each.key, scope, for_each.as_, (key, index, item)), item)
            for index, (key, item) in enumerate(pairs)
        ]
    seen: set[str] = set()
    for index, (key, _) in enumerate(pairs):
        if fault := _fault(key, seen):
            raise _unusable("key" if for_each.key else "items", f"the key of item {index} {fault}")
        seen.add(key)
    keyed = isinstance(value, dict) or for_each.key is not None
    return tuple(Item(f"{unit}[{key}]", key, index, item) for index, (key, item) in enumerate(pairs)), keyed


def of_item(scope: Scope, name: str, item: Item) -> Scope:
    """The scope in which an item's expressions are worked out."""
    return Scope({**scope.variables, name: item.value, "key": item.key, "index": item.index})


class _Spread:
    """The items of one task while they run."""

    def __init__(self, for_each: ForEach, unit: str, perform: Perform, board: Board, gate: Gate, count: int) -> None:
        self._for_each = for_each
        self._unit = unit
        self._perform = perform
        self._board = board
        self._gate = gate
        self._count = count
        self._records: dict[str, UnitRecord] = {}
        self._failed: list[UnitRecord] = []
        self._skipped: UnitSkipped | None = None

    def is_fresh(self, item: Item) -> bool:
        """Whether nothing of the item was under way before."""
        return self._board[item.unit].phase != TaskPhase.RUNNING

    async def work(self, waiting: Iterator[Item]) -> None:
        """Run one item after another, until there is none left or nothing new may start."""
        for item in waiting:
            if self._gate.closing and self.is_fresh(item):
                return
            try:
                record = await self._perform(item, self._gate)
            except UnitSkipped as skipped:
                self._skipped = self._skipped or skipped
                return
            if record.phase.failed and self._gate.interruption:
                return
            self._records[item.key] = record
            if record.phase.failed:
                self._failed.append(record)
                if len(self._failed) > self._for_each.max_failures:
                    self._gate.close(SkipReason.RUN_FAILED, f'item "{record.name}" failed')
            self._board.note(replace(self._board[self._unit], progress=f"{len(self._records)}/{self._count}"))

    def collected(self, found: tuple[Item, ...], *, keyed: bool) -> Collected:
        """The results together. Raises UnitFailed, UnitSkipped."""
        if len(self._failed) > self._for_each.max_failures:
            raise self._too_many()
        if len(self._records) < len(found):
            if self._records or self._skipped is None:
                raise self._cut_off()
            raise self._skipped
        records = [self._records[item.key] for item in found]
        results = [record.answer.result if record.answer else None for record in records]
        value: Any = results
        if keyed:
            value = {
                item.key: result
                for item, result, record in zip(found, results, records, strict=True)
                if record.phase == TaskPhase.SUCCEEDED
            }
        entries = tuple(_entry(item, record) for item, record in zip(found, records, strict=True))
        return Collected(Answer.of(value), entries, len(self._failed))

    def _too_many(self) -> UnitFailed:
        first = self._failed[0]
        assert first.error  # noqa: S101 - a failed unit has one
        words = f"{len(self._failed)} of {self._count} items failed, and {self._for_each.max_failures} may"
        message = wording.fit(f'{words}; the first was "{first.name}": {first.error.message}')
        unknown = any(record.phase == TaskPhase.INDETERMINATE for record in self._failed)
        phase = TaskPhase.INDETERMINATE if unknown else TaskPhase.FAILED
        return UnitFailed(TaskError(class_=first.error.class_, message=message), phase)

    def _cut_off(self) -> UnitFailed:
        closing = self._gate.closing
        why = closing.message if closing else "the run stopped"
        message = f"{why}; by then {len(self._records)} of {self._count} items had ended"
        interruption = self._gate.interruption
        error_class = interruption.error_class if interruption else ErrorClass.CANCELLED
        return UnitFailed(TaskError(class_=error_class, message=wording.fit(message)), interrupted=True)


def _entry(item: Item, record: UnitRecord) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"key": item.key, "phase": str(record.phase)}
    if record.answer:
        entry["result"] = record.answer.result
    if record.error:
        entry["error"] = {"class": str(record.error.class_), "message": record.error.message}
    return entry


def _key(text: str, scope: Scope, name: str, entry: tuple[str, int, Any]) -> str:
    key, index, value = entry
    try:
        found = expressions.compute(text, Scope({**scope.variables, name: value, "key": key, "index": index}))
    except expressions.ExpressionFailed as error:
        raise _unusable("key", f"item {index}: {error}") from error
    if not isinstance(found, str):
        raise _unusable("key", f"of item {index} it is {plain.kind(found)}, and must be a string: write string(…)")
    return found


def _fault(key: str, seen: set[str]) -> str:
    if not key:
        return "is empty"
    if len(key) > MAX_KEY:
        return f"has {len(key)} characters, and {MAX_KEY} is the most"
    if not key.isprintable():
        return "has characters that can't be shown, such as line breaks"
    return f'is "{key}", as that of another one: every item needs its own' if key in seen else ""


def _unusable(field: str, message: str) -> UnitFailed:
    return UnitFailed(TaskError(class_=ErrorClass.EXPRESSION, message=wording.fit(f"forEach.{field}: {message}")))
