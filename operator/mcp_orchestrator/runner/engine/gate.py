"""Whether new work may start, how much at a time, and what is under way. Used by all parts of the engine.

Gates form a tree, as workflows stand in each other: what closes or interrupts a gate does so for all below it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, TypeVar

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.taskstatus import SkipReason
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason

T = TypeVar("T")

LEAVE_SECONDS = 5.0
"""How long interrupted work may take to say goodbye to its servers."""


@dataclass(frozen=True, slots=True)
class Closing:
    """Why nothing new starts."""

    reason: SkipReason
    message: str


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why work was stopped from outside, and what that is for a task under way."""

    reason: RunReason
    message: str
    error_class: ErrorClass
    cancels: bool = False
    """Whether somebody asked for it: then the run did not fail."""

    @property
    def outcome(self) -> Outcome:
        """What it makes of the run."""
        return Outcome.CANCELLED if self.cancels else Outcome.FAILED

    @property
    def skip_reason(self) -> SkipReason:
        """Why what has not begun is skipped then."""
        return SkipReason.RUN_CANCELLED if self.cancels else SkipReason.RUN_STOPPED


@dataclass(frozen=True, slots=True)
class _Hold:
    over: asyncio.Event
    when_quiet: Callable[[], None]


class Interrupted(Exception):
    """The work was stopped before it had a result."""

    def __init__(self, interruption: Interruption) -> None:
        super().__init__(interruption.message)
        self.interruption = interruption


class Gate:
    """Lets work start until it is closed, not while it is held, and stops work once it is interrupted."""

    def __init__(self, parent: Gate | None = None) -> None:
        self._chain: tuple[Gate, ...] = (self, *(parent._chain if parent else ()))
        self._closing: Closing | None = None
        self._interruption: Interruption | None = None
        self._work: dict[asyncio.Future[Any], asyncio.Future[None]] = {}
        self._hold: _Hold | None = None
        self._under_way = 0
        self._pauses: set[asyncio.Future[None]] = set()

    @property
    def closing(self) -> Closing | None:
        """Why nothing new starts; None while it may."""
        return next((gate._closing for gate in self._chain if gate._closing), None)

    @property
    def interruption(self) -> Interruption | None:
        """Why work is stopped; None while it may go on."""
        return next((gate._interruption for gate in self._chain if gate._interruption), None)

    def close(self, reason: SkipReason, message: str) -> None:
        """Let nothing new start; what is under way goes on. The first reason counts."""
        self._closing = self._closing or Closing(reason, message)
        for pause in self._pauses:
            _set(pause)

    def hold(self, when_quiet: Callable[[], None]) -> None:
        """Let nothing new start until `release`; `when_quiet` is called each time that nothing is under way."""
        if self._hold is None and self._interruption is None:
            self._hold = _Hold(asyncio.Event(), when_quiet)
            self._tell_if_quiet()

    def release(self) -> None:
        """Let what was held go on."""
        if self._hold:
            self._hold.over.set()
            self._hold = None

    @property
    def held(self) -> bool:
        """Whether nothing may start for now."""
        return any(gate._hold for gate in self._chain)

    async def opened(self) -> None:
        """Return once the gate is not held: at once if it is not."""
        while held := next((gate._hold for gate in self._chain if gate._hold), None):
            await held.over.wait()

    @contextmanager
    def under_way(self) -> Iterator[None]:
        """For as long, something is under way that a hold waits for."""
        for gate in self._chain:
            gate._under_way += 1
        try:
            yield
        finally:
            for gate in self._chain:
                gate._under_way -= 1
                gate._tell_if_quiet()

    async def pause(self, seconds: float) -> None:
        """Wait so long, or until the gate is closed."""
        if self.closing:
            return
        woken = asyncio.get_running_loop().create_future()
        for gate in self._chain:
            gate._pauses.add(woken)
        try:
            await asyncio.wait({woken}, timeout=seconds)
        finally:
            for gate in self._chain:
                gate._pauses.discard(woken)

    def interrupt(self, interruption: Interruption) -> None:
        """Close the gate, which ends a hold, and cancel what is under way behind it."""
        if self._interruption is None:
            self._interruption = interruption
            self.close(interruption.skip_reason, interruption.message)
            self.release()
            loop = asyncio.get_running_loop()
            for work, left in self._work.items():
                work.cancel()
                loop.call_later(LEAVE_SECONDS, _set, left)

    def _tell_if_quiet(self) -> None:
        if self._hold and self._under_way == 0:
            self._hold.when_quiet()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of the work. Raises Interrupted, at the latest LEAVE_SECONDS after an interruption."""
        loop = asyncio.get_running_loop()
        task, left = loop.create_task(work), loop.create_future()
        task.add_done_callback(lambda _: _set(left))
        for gate in self._chain:
            gate._work[task] = left
        if self.interruption:
            task.cancel()
        try:
            await left
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=LEAVE_SECONDS)
            raise
        finally:
            for gate in self._chain:
                del gate._work[task]
        if task.done() and not task.cancelled():
            return task.result()
        raise Interrupted(self.interruption or _UNASKED)


class Slots:
    """The most calls at the same time: of a workflow, and of those around it."""

    def __init__(self, limit: int, around: Slots | None = None) -> None:
        self._own = asyncio.Semaphore(limit)
        self._around = around

    async def __aenter__(self) -> None:
        await self._own.acquire()
        if self._around:
            try:
                await self._around.__aenter__()
            except BaseException:
                self._own.release()
                raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._around:
            await self._around.__aexit__(kind, error, traceback)
        self._own.release()


_UNASKED = Interruption(RunReason.RUNNER_FAILED, "the call was cancelled", ErrorClass.CANCELLED)
"""A caller that cancels itself."""


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
