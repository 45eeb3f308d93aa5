"""The engine's front: runs a workflow to its end. Called by `main`, and by local runs.

It knows neither Kubernetes nor MCP: tools are called through a ToolCaller, and a Reporter is told what happens. Its
parts: `workflows` (their tasks, and workflows inside them), `walk` (a list of tasks), `fanout` (forEach), `attempts`
(one call with its retries), `gate` (what may start, and what is stopped), `board` (what is known of each unit).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from mcp_orchestrator import settings
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.task import MAX_UNITS
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.runner.cache.sharing import Cache
from mcp_orchestrator.runner.calls.toolcall import ToolCaller
from mcp_orchestrator.runner.control.orders import Orders
from mcp_orchestrator.runner.control.stop import Stop, Stopped
from mcp_orchestrator.runner.engine.attempts import Attempts
from mcp_orchestrator.runner.engine.board import Board
from mcp_orchestrator.runner.engine.gate import Slots
from mcp_orchestrator.runner.engine.obeying import Control
from mcp_orchestrator.runner.engine.workflows import Engine, Place
from mcp_orchestrator.runner.results.records import Ending, Reporter, UnitRecord


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a workflow runs with: its servers by name, the workflows that its tasks run, and what is on record."""

    servers: Mapping[str, ResolvedServer]
    nested: Mapping[str, Workflow] = field(default_factory=dict)
    recorded: Mapping[str, UnitRecord] = field(default_factory=dict)


async def execute(
    workflow: Workflow,
    params: Mapping[str, Any],
    around: Surroundings,
    caller: ToolCaller,
    report: Reporter,
    *,
    timeout_seconds: float,
    spent_seconds: float = 0.0,
    stop: asyncio.Future[Stop] | None = None,
    orders: Orders | None = None,
    cache: Cache | None = None,
    clock: Callable[[], datetime] = settings.clock,
    chance: Callable[[], float] = random.random,
) -> Ending:
    """Run the workflow to its end and tell how it went; raises nothing for what tasks do.

    Units on record as ended are not run again. When `timeout_seconds` are over, of which earlier pods have used
    `spent_seconds`, calls under way are cancelled and what did not start is skipped; then the tasks of finally run.
    Raises Stopped if `stop` is set before the end: what is open then stays as it is on record, for another pod to go on
    from. `orders` may suspend the run, which leaves as much open, or cancel it.
    """
    board = Board(around.recorded, report, clock, MAX_UNITS)
    engine = Engine(around.nested, board, Attempts(caller, board, around.servers, chance, cache))
    control = Control(board)
    width = workflow.max_parallel_tasks
    place = Place("", control.main, control.last, Slots(width), width)
    with control.listening(stop, orders, timeout_seconds, spent_seconds):
        result = await engine.workflow(workflow, params, place)
    if ending := result.ending or control.suspended:
        return ending
    raise Stopped(stop.result().message if stop and stop.done() else "")
