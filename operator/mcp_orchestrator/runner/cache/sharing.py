"""Answers of earlier calls, and one call for all runs that ask the same at the same time. Called by `attempts`.

A store that fails costs a run nothing but the cache: it is left alone for a while, and calls are made as without one.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Protocol

from mcp_orchestrator.api.cache import CacheUse
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.planning.calls import caching
from mcp_orchestrator.runner.cache.sealing import Seal
from mcp_orchestrator.runner.results.answers import Answer

log = logging.getLogger(__name__)

PAUSE_SECONDS = 30.0
"""For how long a store that failed is left alone."""
LEAST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.02, 0.5
"""How often it is looked whether another run has the answer."""


class StoreFailed(Exception):
    """The store did not do what it was asked to; `str()` says why, and what to do about it."""


Unlock = Callable[[], Awaitable[None]]


class Store(Protocol):
    """Keeps bytes of a namespace by keys, which are digests. Everything raises StoreFailed, and soon."""

    most_bytes: int
    """The largest value that it keeps."""

    async def get(self, key: str) -> bytes | None:
        """What stands under the key, if it is not more than that."""

    async def put(self, key: str, value: bytes, seconds: int) -> None:
        """Let the value stand there for so long."""

    async def lock(self, key: str, seconds: float) -> Unlock | None:
        """Lock the key for so long at the most, unless somebody else has; gives how to unlock it."""


class Cache:
    """The cached answers of a namespace, for one run."""

    def __init__(self, store: Store, namespace: str, secret: bytes = b"", *, refresh: bool = False) -> None:
        self._store = store
        self._namespace = namespace
        self._secret = secret
        self._seal = Seal(secret)
        self._refresh = refresh
        self._back_at = 0.0

    def key(self, server: ResolvedServer, tool: str, arguments: Mapping[str, Any], *, hidden: bool) -> str:
        """Where the call's answer stands; nowhere if the key would give away what must be hidden."""
        if hidden and not self._secret:
            return ""
        return caching.digest(self._namespace, server, tool, arguments, self._secret)

    @asynccontextmanager
    async def turn(self, key: str, patience_seconds: float, wanted: Callable[[], bool]) -> AsyncIterator[Answer | None]:
        """An answer that is there, or that another call gives while it is wanted; None for whom it falls to to call.

        Who calls has the key for as long as the context, and at most for `patience_seconds`; so long do others wait.
        """
        async with AsyncExitStack() as stack:
            found = None
            if key and not self._refresh and self._is_there():
                try:
                    found = await self._find(key, patience_seconds, wanted, stack)
                except StoreFailed as failed:
                    self._leave_alone(failed)
            yield found

    async def keep(self, key: str, encoded: bytes, seconds: int) -> CacheUse | None:
        """Keep an answer that was called for, unless it is empty: secret. None if the cache could not be used."""
        if not (key and self._is_there()):
            return None
        closed = self._seal.close(key, encoded) if encoded else b""
        keep = functools.partial(self._store.put, key, closed, seconds)
        if closed and len(closed) <= self._store.most_bytes and not await self._try(keep):
            return None
        return CacheUse.REFRESHED if self._refresh else CacheUse.MISS

    async def _find(self, key: str, seconds: float, wanted: Callable[[], bool], stack: AsyncExitStack) -> Answer | None:
        clock = asyncio.get_running_loop().time
        end, wait, locked = clock() + seconds, LEAST_WAIT_SECONDS, False
        while True:
            kept = await self._store.get(key)
            found = self._seal.open(key, kept) if kept else None
            if found or locked or clock() >= end or not wanted():
                return found
            if unlock := await self._store.lock(key, seconds):
                stack.push_async_callback(self._try, unlock)
                # Whoever had the key until now may have left an answer: look once more.
                locked = True
            else:
                await asyncio.sleep(wait)
                wait = min(wait * 1.5, MOST_WAIT_SECONDS)

    async def _try(self, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except StoreFailed as failed:
            self._leave_alone(failed)
            return False
        return True

    def _is_there(self) -> bool:
        return asyncio.get_running_loop().time() >= self._back_at

    def _leave_alone(self, failed: StoreFailed) -> None:
        self._back_at = asyncio.get_running_loop().time() + PAUSE_SECONDS
        log.warning("the cache is left alone for %g s: %s", PAUSE_SECONDS, failed)
