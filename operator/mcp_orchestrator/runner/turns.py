"""Whose turn it is to call: each server gets a bounded number of calls at once, as do all together. Used by `tools`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mcp_orchestrator.runner import wire

CALLS = 20
"""The most calls of a run to one server at the same time. A call holds one connection."""


class Turns:
    """Calls wait here for their turn, first come, first served, and hold up no call to another server meanwhile."""

    def __init__(self) -> None:
        self._of_server: dict[str, asyncio.Semaphore] = {}
        self._of_all = asyncio.Semaphore(wire.CONNECTIONS)

    @asynccontextmanager
    async def of(self, server: str) -> AsyncIterator[None]:
        """One call's turn; it begins when the server has room for it."""
        # In this order: who waits for a server does not take the place of a call to another.
        async with self._of_server.setdefault(server, asyncio.Semaphore(CALLS)), self._of_all:
            yield
