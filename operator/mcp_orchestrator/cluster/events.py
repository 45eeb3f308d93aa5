"""Kubernetes Events: news about an object for `kubectl describe`, sent in the background and never in work's way.

Controllers emit them; the operator's program runs the recorder.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from mcp_orchestrator import settings, telemetry
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.resources import Object

logger = logging.getLogger(__name__)

REPEAT_SECONDS: Final = 600.0
REMEMBERED: Final = 4096
CAPACITY: Final = 1024
NOTE_BYTES: Final = 1024
WORD_LENGTH: Final = 128
NAME_LENGTH: Final = 200


class Api(Protocol):
    """What the recorder needs of `client.Client`."""

    async def create(self, resource: resources.Resource, body: Object) -> Object: ...


class Recorder:
    """Takes Events from reconcilers at once, and sends them one after the other from `run`.

    The same news of the same object is told at most once in 10 minutes; what does not fit into the queue is dropped.
    """

    def __init__(
        self,
        api: Api,
        *,
        instance: str,
        controller: str = "mcp-orchestrator.io/operator",
        capacity: int = CAPACITY,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`instance` is this replica's name."""
        self._api = api
        self._instance = instance[:WORD_LENGTH]
        self._controller = controller
        self._monotonic = monotonic
        self._queue: asyncio.Queue[Object] = asyncio.Queue(capacity)
        self._count = itertools.count()
        self._told: OrderedDict[str, tuple[bytes, float]] = OrderedDict()

    def emit(
        self,
        regarding: Object,
        *,
        reason: str,
        action: str,
        note: str,
        type: str = "Normal",  # noqa: A002 - the API's name
    ) -> None:
        """Tell of an object, or of a reference to one. `type`: Normal or Warning; `action`: what was done or tried."""
        reference = _reference(regarding)
        note = note.encode()[:NOTE_BYTES].decode("utf-8", "ignore")
        if self._is_repeated(reference["uid"], f"{reason}\0{note}"):
            return
        now = settings.clock()
        name = f"{reference['name'][:NAME_LENGTH]}.{int(now.timestamp() * 1_000_000):x}.{next(self._count):x}"
        event: Object = {
            "apiVersion": resources.EVENTS.api_version,
            "kind": "Event",
            "metadata": {"name": name, "namespace": reference["namespace"] or "default"},
            "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "type": type,
            "reason": reason[:WORD_LENGTH],
            "action": action[:WORD_LENGTH],
            "note": note,
            "regarding": reference,
            "reportingController": self._controller,
            "reportingInstance": self._instance,
        }
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            telemetry.EVENTS_DROPPED.labels("queue_full").inc()

    async def run(self) -> None:
        """Send what comes, until cancelled. An Event that is refused is dropped: it is news, not state."""
        while True:
            event = await self._queue.get()
            try:
                await self._api.create(resources.EVENTS, event)
            except errors.ApiError as error:
                telemetry.EVENTS_DROPPED.labels(type(error).__name__).inc()
                logger.debug("the Event %s was not recorded: %s", event["reason"], error)
            finally:
                self._queue.task_done()

    async def flush(self, timeout_seconds: float) -> None:
        """Wait until `run` has sent all, but not longer than that."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._queue.join()
        except TimeoutError:
            telemetry.EVENTS_DROPPED.labels("shutdown").inc(self._queue.qsize())

    def _is_repeated(self, uid: str, news: str) -> bool:
        """Whether it is the last that was told of the object: the same words after others are news again."""
        digest = hashlib.blake2b(news.encode(), digest_size=16).digest()
        now = self._monotonic()
        last, told_at = self._told.get(uid, (b"", 0.0))
        if last == digest and now - told_at < REPEAT_SECONDS:
            return True
        self._told[uid] = (digest, now)
        self._told.move_to_end(uid)
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        return False


def _reference(regarding: Object) -> Object:
    metadata = regarding.get("metadata") or regarding
    fields = {name: metadata.get(name) or "" for name in ("name", "namespace", "uid", "resourceVersion")}
    return {"apiVersion": regarding.get("apiVersion") or "", "kind": regarding.get("kind") or "", **fields}
