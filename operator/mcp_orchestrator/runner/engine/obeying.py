"""What holds or ends a run from outside: its time-out, orders, and the end of its pod. Called by `execute`."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterator
from contextlib import contextmanager

from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.taskstatus import SkipReason
from mcp_orchestrator.api.workflowrunstatus import Outcome, RunReason
from mcp_orchestrator.runner.control.orders import Order, Orders
from mcp_orchestrator.runner.control.stop import Stop
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.engine.gate import Gate, Interruption
from mcp_orchestrator.runner.results.records import Ending

NOTES_SECONDS = 12.0
"""How long it may take, once nothing is under way, to put the last answers where they are kept."""


class Control:
    """The run's outer gates, and who closes them."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self.last = Gate()
        """All that the run does is behind it; finally directly, the rest behind `main`."""
        self.main = Gate(self.last)
        self.suspended: Ending | None = None
        """How the run ends if it is not over by now."""

    @contextmanager
    def listening(
        self, stop: asyncio.Future[Stop] | None, orders: Orders | None, timeout_seconds: float, spent_seconds: float
    ) -> Iterator[None]:
        """For as long, the time counts and orders are obeyed."""
        words = f"the run took longer than its time-out of {timeout_seconds:g} s"
        late = Interruption(RunReason.TIMED_OUT, words, ErrorClass.TIMEOUT)
        left = max(0.0, timeout_seconds - spent_seconds)
        timer = asyncio.get_running_loop().call_later(left, self.main.interrupt, late)
        if stop:
            stop.add_done_callback(self._stopped)
        try:
            with (orders or Orders()).followed(self._obey):
                yield
        finally:
            timer.cancel()
            if stop:
                stop.remove_done_callback(self._stopped)

    def _obey(self, order: Order) -> None:
        self.main.release()
        if order.cancel:
            cause = Interruption(order.reason, order.message, ErrorClass.CANCELLED, cancels=True)
            gate = self.main if order.cancel == CancelMode.GRACEFUL else self.last
            gate.interrupt(cause)
        elif order.suspend:
            self.main.hold(functools.partial(self._suspend, order))

    def _suspend(self, order: Order) -> None:
        """Nothing is under way any more: leave what is open to another pod."""
        self.suspended = Ending(Outcome.SUSPENDED, RunReason.SUSPENDED, order.message)
        self._leave(Stop(order.message, NOTES_SECONDS))

    def _stopped(self, stop: asyncio.Future[Stop]) -> None:
        if not stop.cancelled():
            self._leave(stop.result())

    def _leave(self, order: Stop) -> None:
        self._board.stopping = True
        self.last.close(SkipReason.RUN_STOPPED, order.message)
        self.main.release()
        cause = Interruption(RunReason.RUNNER_FAILED, order.message, ErrorClass.CANCELLED)
        asyncio.get_running_loop().call_later(order.patience_seconds, self.last.interrupt, cause)
