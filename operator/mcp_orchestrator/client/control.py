"""Orders to runs on a cluster: `suspend`, `resume` and `cancel`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

from mcp_orchestrator.api.workflowrunstatus import RunPhase
from mcp_orchestrator.client.cluster import Access, Cluster, opened, readable
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.interrupts import heeded
from mcp_orchestrator.client.orders import Verb, give
from mcp_orchestrator.client.runs import show_data, show_end, stay
from mcp_orchestrator.client.terminal import Terminal


def order(names: Sequence[str], verb: Verb, access: Access, output: str) -> Exit:
    """Give an order to each of the runs. One that can't follow it is told, and does not keep the others from it."""

    async def work() -> Exit:
        async with opened(access) as cluster:
            bodies, code = await _give(cluster, names, verb, output)
            _show_data(bodies, names, output)
            return code

    return asyncio.run(work())


def cancel(names: Sequence[str], verb: Verb, access: Access, output: str, patience_seconds: int | None) -> Exit:
    """Give the order to cancel, and wait until the runs have ended. Raises Failed if the patience is over."""

    async def leave() -> str:
        return "the runs are being cancelled all the same"

    async def work() -> Exit:
        async with opened(access) as cluster:
            bodies, code = await _give(cluster, names, verb, output)
            waited = (stay(cluster, body["metadata"]["name"], patience_seconds, show=False) for body in bodies)
            async with heeded(leave):
                ended = await asyncio.gather(*waited)
            code = code or max(map(_missed, ended), default=Exit.OK)
            if output == "text":
                for body in ended:
                    show_end(readable(body), Terminal.of())
            _show_data(ended, names, output)
            return code

    return asyncio.run(work())


def _missed(body: dict[str, Any]) -> Exit:
    """Tell of a run that came to its own end before the order reached it."""
    name, phase = body["metadata"]["name"], body["status"]["phase"]
    if phase == RunPhase.CANCELLED:
        return Exit.OK
    print(f"mcp-orchestrator: {name} had ended ({phase}) before it could be cancelled", file=sys.stderr)
    return Exit.USAGE


async def _give(cluster: Cluster, names: Sequence[str], verb: Verb, output: str) -> tuple[list[dict[str, Any]], Exit]:
    """The runs that have the order now, and the code of the first that has not."""
    bodies, code, terminal = list[dict[str, Any]](), Exit.OK, Terminal.of()
    for name in names:
        try:
            given = await give(cluster, name, verb)
        except Failed as error:
            print(f"mcp-orchestrator: {error}", file=sys.stderr)
            code = code or error.code
            continue
        bodies.append(given.body)
        if output == "text":
            terminal.line(given.told)
    return bodies, code


def _show_data(bodies: Sequence[dict[str, Any]], names: Sequence[str], output: str) -> None:
    """The runs for a program: the one that was named, or a list as kubectl makes it."""
    terminal = Terminal.of()
    if output == "name" or (len(names) == 1 and output != "text"):
        for body in bodies:
            show_data(body, output, terminal)
    elif output != "text" and bodies:
        show_data({"apiVersion": "v1", "kind": "List", "items": list(bodies)}, output, terminal)
