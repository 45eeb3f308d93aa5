"""What is ordered of a run while it runs: to hold, or to stop for good. Read off the run, obeyed by the engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import RunReason

SUSPENDED = "the run is suspended, as spec.suspend asks"


@dataclass(frozen=True, slots=True)
class Order:
    """One order: to hold the run, or with `cancel` to stop it for good; neither says to go on."""

    suspend: bool = False
    cancel: CancelMode | None = None
    reason: RunReason = RunReason.CANCELLED
    message: str = ""

    @property
    def rank(self) -> int:
        """Cancel wins over suspend, and Immediate over Graceful."""
        return self.cancel.rank if self.cancel else 0


def ordered(run: WorkflowRun) -> Order:
    """The order that holds for the run."""
    if stop := run.cancellation:
        return Order(cancel=stop.mode, reason=_known(stop.reason), message=stop.message)
    return Order(run.spec.suspend, message=SUSPENDED if run.spec.suspend else "")


class Orders:
    """The order that holds at each moment. Whoever looks at the run gives it, and the engine obeys."""

    def __init__(self, first: Order | None = None) -> None:
        self._order = first or Order()
        self._obey: Callable[[Order], None] | None = None

    def give(self, order: Order) -> bool:
        """From now on that one, if it is another: True. A cancelled run only hears an order of higher rank."""
        if order == self._order or (self._order.cancel and order.rank <= self._order.rank):
            return False
        self._order = order
        if self._obey:
            self._obey(order)
        return True

    @contextmanager
    def followed(self, obey: Callable[[Order], None]) -> Iterator[None]:
        """Obey the order that holds, at once, and for as long each one that is given."""
        self._obey = obey
        obey(self._order)
        try:
            yield
        finally:
            self._obey = None


def _known(reason: str) -> RunReason:
    try:
        return RunReason(reason)
    except ValueError:
        return RunReason.CANCELLED
