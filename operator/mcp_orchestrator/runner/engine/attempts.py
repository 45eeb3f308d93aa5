"""One tool call with all its attempts: what is repeated, when, and what stands on record before it. Part of the engine.

A call that must not be repeated is on record as running before it is made. So whatever happens to this process, the
next one knows that it may have been carried out.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import SkipReason, TaskError, TaskPhase
from mcp_orchestrator.planning import expressions, wording
from mcp_orchestrator.planning.calls import caching, retry
from mcp_orchestrator.planning.expressions import Scope
from mcp_orchestrator.runner.cache.sharing import Cache
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls import turns
from mcp_orchestrator.runner.calls.toolcall import Call, ToolCaller
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.engine.gate import Closing, Gate, Interrupted, Interruption, Slots
from mcp_orchestrator.runner.results import values
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import UnitFailed, UnitSkipped

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
    perhaps_done: bool = False
    """Whether the tool may have done its work without our knowing how that ended."""
    failed: UnitFailed | None = None
    """How the last attempt failed, after which there is to be another."""


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
        self._turns = turns.Turns()

    async def make(self, unit: str, task: Task, scope: Scope, gate: Gate, slots: Slots) -> Given:
        """The answer, and what the cache had to do with it. Raises UnitFailed, UnitSkipped."""
        record = self._board[unit]
        if record.phase == TaskPhase.RUNNING and not self.repeatable(task):
            raise UnitFailed(TaskError(class_=ErrorClass.RUNNER, message=LOST), TaskPhase.INDETERMINATE)
        work = self._prepared(unit, task, scope)
        work.attempt, work.begun = record.attempts, record.phase == TaskPhase.RUNNING
        work.perhaps_done = work.begun
        try:
            return await gate.run(self._find_or_call(work, gate, slots))
        except Interrupted as interrupted:
            raise self._interrupted(work, interrupted.interruption) from None

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
            try:
                async with self._place(work, gate, slots):
                    if closing := gate.closing:
                        raise self._not_made(work, closing)
                    await self._announce(work)
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
            work.failed = _final(work, failure, error)
            if wait is None or not _wanted(work, error):
                raise work.failed
            work.perhaps_done = False
            await gate.pause(wait)

    @asynccontextmanager
    async def _place(self, work: _Work, gate: Gate, slots: Slots) -> AsyncIterator[None]:
        """Room for one call, once there is some and nothing is held. Raises CallFailed after the task's deadline."""
        while True:
            await gate.opened()
            async with slots, AsyncExitStack() as stack:
                try:
                    async with asyncio.timeout(_left(work)):
                        await stack.enter_async_context(self._turns.of(work.server.name))
                except TimeoutError:
                    raise _no_turn(work) from None
                # Who is held by now gives its place back: tasks of finally may need it.
                if not gate.held:
                    with gate.under_way():
                        yield
                    return

    def _not_made(self, work: _Work, closing: Closing) -> UnitSkipped | UnitFailed:
        """Why there is no call, or no further one. The call of a lost pod, harmless as it may be, is not nothing."""
        if not work.begun:
            return UnitSkipped(closing.reason, closing.message)
        if self._board.stopping:
            return self._put_back(work, closing.message)
        if work.failed:
            return work.failed
        message = f"the pod that made the call was lost, and it is not made again: {closing.message}"
        return UnitFailed(TaskError(class_=ErrorClass.CANCELLED, message=wording.fit(message)))

    def _interrupted(self, work: _Work, cause: Interruption) -> UnitSkipped | UnitFailed:
        if not work.begun:
            return UnitSkipped(cause.skip_reason, cause.message)
        if self._board.stopping:
            return self._put_back(work, cause.message)
        error = TaskError(class_=cause.error_class, message=wording.fit(cause.message))
        unknown = work.perhaps_done and not work.repeatable
        phase = TaskPhase.INDETERMINATE if unknown else TaskPhase.FAILED
        return UnitFailed(error, phase, interrupted=True)

    def _put_back(self, work: _Work, why: str) -> UnitSkipped:
        """Leave the unit to another pod; where the tool surely is not at work, so that it may call at once."""
        if not work.perhaps_done:
            self._board.put_back(work.unit)
        return UnitSkipped(SkipReason.RUN_STOPPED, why)

    async def _announce(self, work: _Work) -> None:
        """Put the attempt on record; for good, before a call that must not be repeated."""
        known = self._board[work.unit].phase == TaskPhase.RUNNING
        work.begun = True
        work.attempt += 1
        self._board.start(work.unit, work.attempt)
        if not known and not work.repeatable:
            await self._board.commit()

    async def _once(self, work: _Work, left_seconds: float) -> Answer:
        if left_seconds <= 0:
            raise CallFailed(ErrorClass.TIMEOUT, _over(work.task), never_sent=True)
        call = Call(
            unit=work.unit,
            server=work.server.name,
            tool=work.task.tool or "",
            arguments=work.arguments,
            timeout_seconds=min(_allowed_seconds(work), left_seconds),
            attempt=work.attempt,
        )
        work.perhaps_done = True
        try:
            answer = await self._caller.call(call)
        except CallFailed:
            raise
        except Exception as error:
            raise _broken(work, error) from error
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


def _left(work: _Work) -> float | None:
    """Seconds until the task's deadline, if it has one."""
    return None if work.task.deadline_seconds is None else work.end - asyncio.get_running_loop().time()


def _no_turn(work: _Work) -> CallFailed:
    message = (
        f'server "{work.server.name}" gets {turns.CALLS} calls at once at most, and there was no room for this one '
        f"within the task's deadlineSeconds, {work.task.deadline_seconds} s: the call was not made"
    )
    return CallFailed(ErrorClass.TIMEOUT, message, never_sent=True)


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
    message = error.message if work.attempt <= 1 else f"{error.message} ({work.attempt} attempts)"
    told = TaskError(class_=error.error_class, message=wording.fit(message))
    return UnitFailed(told, TaskPhase.FAILED if known else TaskPhase.INDETERMINATE)


def _over(task: Task) -> str:
    return f"the {task.deadline_seconds} s of the task's deadlineSeconds are over"


def _expression_error(field: str, error: Exception) -> TaskError:
    return TaskError(class_=ErrorClass.EXPRESSION, message=wording.fit(f"{field}: {error}"))
