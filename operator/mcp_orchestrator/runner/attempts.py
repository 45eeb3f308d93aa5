"""One tool call with all its attempts: what is repeated, when, and what stands on record before it. Part of the engine.

A call that must not be repeated is on record as running before it is made. So whatever happens to this process, the
next one knows that it may have been carried out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.workflowrun import ResolvedServer, SkipReason, TaskError, TaskPhase
from mcp_orchestrator.api.workflowtemplate import Task
from mcp_orchestrator.planning import caching, expressions, retry, wording
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.runner import values
from mcp_orchestrator.runner.board import Board
from mcp_orchestrator.runner.cache import Cache
from mcp_orchestrator.runner.calls import Call, CallFailed, ToolCaller
from mcp_orchestrator.runner.gate import Closing, Gate, Interrupted, Slots
from mcp_orchestrator.runner.records import UnitFailed, UnitSkipped
from mcp_orchestrator.runner.results import Answer

log = logging.getLogger(__name__)

Given = tuple[Answer, CacheUse | None]

LOST = "the pod that made the call was lost before the answer was on record: the tool may have done its work"


@dataclass(slots=True)
class _Work:
    """One call while it is made."""

    unit: str
    task: Task
    scope: Scope
    server: ResolvedServer
    repeatable: bool
    arguments: Mapping[str, Any]
    end: float
    """When the task's deadline is over, on the loop's clock."""
    attempt: int = 0
    begun: bool = False
    under_way: bool = False


class Attempts:
    """Makes calls until they succeed, or must not or need not be repeated."""

    def __init__(
        self,
        caller: ToolCaller,
        board: Board,
        servers: Mapping[str, ResolvedServer],
        chance: Callable[[], float] = random.random,
        cache: Cache | None = None,
    ) -> None:
        self._caller = caller
        self._board = board
        self._servers = servers
        self._chance = chance
        self._cache = cache

    async def make(self, unit: str, task: Task, scope: Scope, gate: Gate, slots: Slots) -> Given:
        """The answer, and what the cache had to do with it. Raises UnitFailed, UnitSkipped."""
        record = self._board[unit]
        if record.phase == TaskPhase.RUNNING and not self.repeatable(task):
            raise UnitFailed(TaskError(class_=ErrorClass.RUNNER, message=LOST), TaskPhase.INDETERMINATE)
        work = self._prepared(unit, task, scope)
        work.attempt, work.begun = record.attempts, record.phase == TaskPhase.RUNNING
        try:
            return await gate.run(self._find_or_call(work, gate, slots))
        except Interrupted as interrupted:
            cause = interrupted.interruption
            if not work.begun:
                raise UnitSkipped(SkipReason.RUN_STOPPED, cause.message) from None
            error = TaskError(class_=cause.error_class, message=wording.fit(cause.message))
            unknown = work.under_way and not work.repeatable
            phase = TaskPhase.INDETERMINATE if unknown else TaskPhase.FAILED
            raise UnitFailed(error, phase, interrupted=True) from None

    def repeatable(self, task: Task) -> bool:
        """Whether the task's call may be made again when it is not known if it was carried out."""
        server = self._servers.get(task.server or "")
        return bool(task.idempotent) if server is None else retry.is_repeatable(task, server)

    def _prepared(self, unit: str, task: Task, scope: Scope) -> _Work:
        server = self._servers.get(task.server or "")
        if server is None:
            message = f'the run has no server "{task.server}" on record'
            raise UnitFailed(TaskError(class_=ErrorClass.RUNNER, message=message))
        try:
            arguments = values.plain(expressions.evaluate(task.arguments, scope))
        except (expressions.ExpressionFailed, values.Unusable) as error:
            raise UnitFailed(_expression_error("arguments", error)) from error
        end = asyncio.get_running_loop().time() + (task.deadline_seconds or float("inf"))
        return _Work(unit, task, scope, server, self.repeatable(task), arguments, end)

    async def _find_or_call(self, work: _Work, gate: Gate, slots: Slots) -> Given:
        """The answer of an earlier call, if there is one that will do; else that of a call, kept for later ones."""
        cache, ttl_seconds = self._cache, caching.ttl_seconds(work.task, work.server)
        if cache is None or ttl_seconds == 0:
            return await self._repeat(work, gate, slots), None
        hidden = self._board.hides(values.encode(work.arguments))
        key = cache.key(work.server, work.task.tool or "", work.arguments, hidden=hidden)
        patience = min(_allowed_seconds(work), work.end - asyncio.get_running_loop().time())
        async with cache.turn(key, patience, lambda: gate.closing is None) as found:
            if found and await self._will_do(work, found):
                return found, CacheUse.HIT
            answer = await self._repeat(work, gate, slots)
            encoded = answer.encode()
            return answer, await cache.keep(key, b"" if self._board.hides(encoded) else encoded, ttl_seconds)

    async def _will_do(self, work: _Work, answer: Answer) -> bool:
        """Whether an answer of another call counts as success here too."""
        try:
            await self._accept(work, answer)
        except CallFailed:
            return False  # then the call itself says why, or has a better answer
        return True

    async def _repeat(self, work: _Work, gate: Gate, slots: Slots) -> Answer:
        loop = asyncio.get_running_loop()
        policy = retry.policy(work.task, work.server)
        while True:
            async with slots:
                if closing := gate.closing:
                    raise _not_made(work, closing)
                await self._announce(work)
                try:
                    return await self._once(work, work.end - loop.time())
                except CallFailed as caught:
                    error = caught
            failure = retry.Failure(error.error_class, error.never_sent, error.retry_after_seconds, error.answered)
            wait = retry.wait_seconds(
                policy,
                failure,
                attempt=work.attempt,
                repeatable=work.repeatable,
                chance=self._chance(),
                left_seconds=work.end - loop.time(),
            )
            if wait is None or gate.closing or not _wanted(work, error):
                raise _final(work, failure, error)
            await asyncio.sleep(wait)

    async def _announce(self, work: _Work) -> None:
        """Put the attempt on record; for good, before a call that must not be repeated."""
        first = not work.begun
        work.begun = True
        work.attempt += 1
        self._board.start(work.unit, work.attempt)
        if first and not work.repeatable:
            await self._board.commit()

    async def _once(self, work: _Work, left_seconds: float) -> Answer:
        if left_seconds <= 0:
            raise CallFailed(ErrorClass.TIMEOUT, _over(work.task), never_sent=True)
        left = None if work.task.deadline_seconds is None else left_seconds
        call = Call(
            unit=work.unit,
            server=work.server.name,
            tool=work.task.tool or "",
            arguments=work.arguments,
            timeout_seconds=_allowed_seconds(work),
            attempt=work.attempt,
            left_seconds=left,
        )
        work.under_way = True
        try:
            answer = await self._caller.call(call)
        except CallFailed:
            work.under_way = False
            raise
        except Exception as error:
            raise _broken(work, error) from error
        work.under_way = False
        await self._accept(work, answer)
        return answer

    async def _accept(self, work: _Work, answer: Answer) -> None:
        """Take the answer as the unit's. Raises CallFailed if it is none."""
        if work.task.success_when is not None:
            _check_success(work.task.success_when, work.scope, answer)
        await self._board.keep(answer)


def _allowed_seconds(work: _Work) -> float:
    """For one attempt."""
    return work.task.timeout_seconds or work.server.timeout_seconds


def _not_made(work: _Work, closing: Closing) -> UnitSkipped | UnitFailed:
    """The call of a lost pod, harmless as it may be, is not nothing."""
    if not work.begun:
        return UnitSkipped(closing.reason, closing.message)
    message = f"the pod that made the call was lost, and it is not made again: {closing.message}"
    return UnitFailed(TaskError(class_=ErrorClass.CANCELLED, message=wording.fit(message)))


def _broken(work: _Work, error: Exception) -> UnitFailed:
    """A mistake of ours: the call failed in a way that it must not."""
    log.error("the call of task %s failed in a way that it must not", work.unit, exc_info=error)
    message = wording.one_line(f"the runner itself failed: {type(error).__name__}: {error}")
    phase = TaskPhase.FAILED if work.repeatable else TaskPhase.INDETERMINATE
    return UnitFailed(TaskError(class_=ErrorClass.RUNNER, message=message), phase)


def _check_success(condition: str, scope: Scope, answer: Answer) -> None:
    known = {"result": answer.result, "text": answer.text}
    try:
        good = expressions.test(condition, Scope({**scope.variables, **known}))
    except expressions.ExpressionFailed as error:
        raise CallFailed(ErrorClass.EXPRESSION, f"successWhen: {error}") from error
    if not good:
        raise CallFailed(ErrorClass.TOOL, f"successWhen is false: {condition}")


def _wanted(work: _Work, error: CallFailed) -> bool:
    """Whether the task's retry.when agrees to another attempt."""
    if work.task.retry is None or work.task.retry.when is None:
        return True
    known = {"error": {"class": str(error.error_class), "message": error.message}, "attempt": work.attempt}
    try:
        return expressions.test(work.task.retry.when, Scope({**work.scope.variables, **known}))
    except expressions.ExpressionFailed as failed:
        raise UnitFailed(_expression_error("retry.when", failed)) from failed


def _final(work: _Work, failure: retry.Failure, error: CallFailed) -> UnitFailed:
    known = retry.is_known(failure, work.repeatable)
    message = error.message if work.attempt == 1 else f"{error.message} ({work.attempt} attempts)"
    told = TaskError(class_=error.error_class, message=wording.fit(message))
    return UnitFailed(told, TaskPhase.FAILED if known else TaskPhase.INDETERMINATE)


def _over(task: Task) -> str:
    return f"the {task.deadline_seconds} s of the task's deadlineSeconds are over"


def _expression_error(field: str, error: Exception) -> TaskError:
    return TaskError(class_=ErrorClass.EXPRESSION, message=wording.fit(f"{field}: {error}"))
