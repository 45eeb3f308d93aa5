"""The cache's store in Redis or Valkey. Used by `sharing`; imported only where it is configured and asked for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.lock import Lock
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import LockNotOwnedError, RedisError

from mcp_orchestrator.runner.cache.sharing import StoreFailed, Unlock

PREFIX = "mcp-orchestrator:"
"""What all keys begin with, the run's namespace behind it: so a server's users can be given keys of their own."""
PATIENCE_SECONDS = 2.0
CONNECTIONS = 8
LEAST_LOCK_SECONDS = 1.0
EXAMPLE = "redis://HOST:6379/0 or rediss://USER:PASSWORD@HOST:6379/0"


class RedisStore:
    """A cache.Store."""

    most_bytes = 1024 * 1024

    def __init__(self, url: str, namespace: str, certificates: str = "") -> None:
        """The store at the URL; nothing is asked of it yet. Raises StoreFailed for a URL that is none."""
        options: dict[str, Any] = {"max_connections": CONNECTIONS, "timeout": PATIENCE_SECONDS}
        # Once more and at once, since servers close connections that were idle; there is no time for pauses.
        options["retry"] = Retry(NoBackoff(), 1)
        if certificates and url.startswith("rediss:"):
            options["ssl_ca_data"] = certificates
        try:
            pool = BlockingConnectionPool.from_url(url, **options)
        except ValueError:
            # Its own words may quote the URL, which has a password in it.
            raise StoreFailed(f"url of the Secret is none like {EXAMPLE}") from None
        self._redis = Redis.from_pool(pool)
        self._prefix = f"{PREFIX}{namespace}:"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._redis.aclose()

    async def get(self, key: str) -> bytes | None:
        """What stands under the key, if it is not more than `most_bytes`."""
        async with _asking():
            # Not GET: what others write there may be of any size.
            found = await self._redis.getrange(self._prefix + key, 0, self.most_bytes)
        return found if isinstance(found, bytes) and 0 < len(found) <= self.most_bytes else None

    async def put(self, key: str, value: bytes, seconds: int) -> None:
        """Let the value stand there for so long."""
        async with _asking():
            await self._redis.set(self._prefix + key, value, ex=seconds)

    async def lock(self, key: str, seconds: float) -> Unlock | None:
        """Lock the key for so long at the most, unless somebody else has."""
        lock = Lock(
            self._redis, f"{self._prefix}{key}:lock", timeout=max(seconds, LEAST_LOCK_SECONDS), thread_local=False
        )

        async def unlock() -> None:
            async with _asking():
                # It is another's by now if the call took longer than that.
                with suppress(LockNotOwnedError):
                    await lock.release()

        async with _asking():
            return unlock if await lock.acquire(blocking=False) else None


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    """Time for one question. What the server says stays out of the failure: it may quote what it was told."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except TimeoutError as error:
        raise StoreFailed(
            "it does not answer in time: check url of the Secret, and what keeps the pod from it"
        ) from error
    except (RedisError, OSError, ValueError) as error:
        raise StoreFailed(f"{type(error).__name__}: check url of the Secret, and the server's own log") from error
