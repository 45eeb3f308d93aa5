"""Whose turn it is to call: a server gets a bounded number of calls at once, as do all together. Used by `attempts`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CALLS = 20
"""The most calls of a run to one server at the same time. A call holds one connection."""
CALLS_IN_ALL = 100
"""The most calls of a run at the same time."""


class Turns:
    """Calls wait here for their turn, first come, first served, and hold up no call to another server meanwhile."""

    def __init__(self) -> None:
        self._of_server: dict[str, asyncio.Semaphore] = {}
        self._of_all = asyncio.Semaphore(CALLS_IN_ALL)

    @asynccontextmanager
    async def of(self, server: str) -> AsyncIterator[None]:
        """One call's turn; it begins when the server has room for it."""
        # In this order: who waits for a server does not take the place of a call to another.
        async with self._of_server.setdefault(server, asyncio.Semaphore(CALLS)), self._of_all:
            yield
