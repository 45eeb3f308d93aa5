"""The cache's store in the cluster itself: a CachedAnswer for each call. Used by `sharing` where there is no other.

Of many that create one, the API server lets one do it: that is the lock. One that is over is taken over by an apply
that names the version that was seen.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from mcp_orchestrator import settings
from mcp_orchestrator.api import cachedanswer, reading
from mcp_orchestrator.api.base import API_VERSION, RUNNER_MANAGER
from mcp_orchestrator.api.cachedanswer import CachedAnswer, CachedAnswerSpec
from mcp_orchestrator.cluster import errors, retry
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.cluster.resources import CACHED_ANSWERS
from mcp_orchestrator.planning.calls import cachedanswers
from mcp_orchestrator.runner.cache.sharing import StoreFailed, Unlock

PATIENCE_SECONDS = 2.0
CONNECTIONS = 8
SOMEBODY_WAS_FASTER = (errors.AlreadyExists, errors.Conflict)


def client(connection: Connection) -> Client:
    """A client for a store: of its own, so that waiting for answers of others never delays a report."""
    return Client(connection, pool_limit=CONNECTIONS, policy=retry.Policy(tries=2))


@dataclass(frozen=True, slots=True)
class _Sight:
    """What was seen of a CachedAnswer."""

    version: str
    """Empty if it was not there."""
    taken: bool
    """Whether it is not free to be taken over."""


class ClusterStore:
    """A cache.Store."""

    most_bytes = cachedanswer.MOST_BYTES

    def __init__(self, client: Client, namespace: str, run_name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._run_name = run_name
        self._seen: dict[str, _Sight] = {}
        self._locked: dict[str, str] = {}
        """Versions at which keys are locked by us."""

    async def get(self, key: str) -> bytes | None:
        """The answer that stands under the key."""
        found, now = await self._look(key), settings.clock()
        # Not taken if there is an answer: who then wants the key has no use for it.
        self._seen[key] = _Sight(_version(found), taken=cachedanswers.is_awaited(found, now))
        return cachedanswers.answer(found, now)

    async def put(self, key: str, value: bytes, seconds: int) -> None:
        """Let the answer stand there for so long, or one that somebody else writes at the same moment."""
        spec = cachedanswers.answered(self._run_name, value, seconds, settings.clock())
        # Only onto what was seen: of many that apply at once without a version, the API server has each try again.
        version = self._locked.get(key) or _version(await self._look(key))
        with suppress(*SOMEBODY_WAS_FASTER):
            await self._write(key, spec, version)
        self._locked.pop(key, None)

    async def lock(self, key: str, seconds: float) -> Unlock | None:
        """Lock the key for so long at the most, unless somebody else has, or there is an answer by now."""
        sight = self._seen.pop(key, None)
        if sight is None:
            found, now = await self._look(key), settings.clock()
            taken = cachedanswers.is_awaited(found, now) or cachedanswers.answer(found, now) is not None
            sight = _Sight(_version(found), taken)
        version = "" if sight.taken else await self._take(key, sight.version, seconds)
        if not version:
            return None
        self._locked[key] = version

        async def unlock() -> None:
            if self._locked.get(key) == version:
                del self._locked[key]
                # It is another's by now if the call took too long.
                with suppress(*SOMEBODY_WAS_FASTER):
                    await self._write(key, cachedanswers.given_up(self._run_name), version)

        return unlock

    async def _take(self, key: str, seen_version: str, seconds: float) -> str:
        """The version at which the key is ours; empty if somebody else was faster."""
        caller = f"{self._run_name}/{uuid.uuid4().hex[:8]}"
        spec = cachedanswers.calling(caller, seconds, settings.clock())
        try:
            return await self._write(key, spec, seen_version)
        except SOMEBODY_WAS_FASTER:
            # Perhaps it was us, by a first try whose answer was lost.
            found = await self._look(key)
            return _version(found) if isinstance(found, CachedAnswer) and found.spec.caller == caller else ""

    async def _look(self, key: str) -> cachedanswers.Found:
        async with _asking():
            try:
                return reading.read(CachedAnswer, await self._client.get(CACHED_ANSWERS, key, self._namespace))
            except errors.NotFound:
                return None

    async def _write(self, key: str, spec: CachedAnswerSpec, version: str) -> str:
        """Write it if it is still at that version, or still not there; the version that it then has."""
        metadata = {"name": key, "namespace": self._namespace}
        body = {"apiVersion": API_VERSION, "kind": "CachedAnswer", "metadata": metadata, "spec": spec.wire()}
        async with _asking():
            made = await (
                self._client.apply(CACHED_ANSWERS, body, manager=RUNNER_MANAGER, resource_version=version)
                if version
                else self._client.create(CACHED_ANSWERS, body)
            )
        return str(made["metadata"]["resourceVersion"])


def _version(found: cachedanswers.Found) -> str:
    return found.metadata.resource_version if found else ""


@asynccontextmanager
async def _asking() -> AsyncIterator[None]:
    """Time for one question. Lets through only the errors that say that somebody else was faster."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            yield
    except SOMEBODY_WAS_FASTER:
        raise
    except TimeoutError as error:
        raise StoreFailed("the API server does not answer in time") from error
    except errors.ApiError as error:
        raise StoreFailed(f"{error}{_remedy(error)}") from error


def _remedy(error: errors.ApiError) -> str:
    match error:
        case errors.NotFound():
            return ": the cluster has no kind CachedAnswer; install the CRDs of the chart's version"
        case errors.Forbidden():
            return f": check the rights of the service account {RUNNER_MANAGER}, and the namespace's quota"
    return ""
