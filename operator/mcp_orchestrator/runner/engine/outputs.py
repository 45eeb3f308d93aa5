"""A workflow's outputs, worked out when all of its tasks have succeeded. Called by `execute`."""

from __future__ import annotations

from typing import Any

from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.planning import expressions
from mcp_orchestrator.runner.results import values


class OutputFailed(Exception):
    """An output can't be had; `str()` names it and says why."""


def evaluate(workflow: Workflow, scope: expressions.Scope) -> dict[str, Any]:
    """The outputs by name. Raises OutputFailed, also for more than a run's status may hold."""
    found: dict[str, Any] = {}
    total = 0
    for output in workflow.outputs:
        try:
            value = values.plain(expressions.evaluate(output.value, scope))
        except expressions.Absent as error:
            if error.task is not None and not scope.variables["tasks"].get(error.task, {}).get("succeeded"):
                continue
            raise OutputFailed(f'output "{output.name}" failed: {error}') from error
        except (expressions.ExpressionFailed, values.Unusable) as error:
            raise OutputFailed(f'output "{output.name}" failed: {error}') from error
        size = len(values.encode(value))
        if size > values.INLINE_BYTES:
            limit = values.human(values.INLINE_BYTES)
            raise OutputFailed(
                f'output "{output.name}" has {values.human(size)}, and the limit is {limit}: '
                "pick the part that is needed, or let a task store it"
            )
        total += size
        found[output.name] = value
    if total > values.OUTPUTS_BYTES:
        limit = values.human(values.OUTPUTS_BYTES)
        raise OutputFailed(f"the outputs have {values.human(total)} together, and the limit is {limit}")
    return found
