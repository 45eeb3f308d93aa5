"""A queue of keys for the reconcilers, after client-go's: a key waits once, and is never worked on twice at a time.

The store's listeners and the reconcilers add keys; `run` hands them to a handler with N workers.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors

logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)

FIRST_RETRY_SECONDS: Final = 1.0
LONGEST_RETRY_SECONDS: Final = 300.0
JITTER: Final = 0.2
COMPONENT: Final = "operator"


class Timer(Protocol):
    """A call that is yet to come."""

    def cancel(self) -> None: ...


class Timers(Protocol):
    """The part of an event loop that tells the time and wakes us; seconds on its own clock."""

    def time(self) -> float: ...

    def call_at(self, when: float, callback: Callable[[], object], /) -> Timer: ...


class WorkQueue(Generic[K]):
    """Keys to work on, now or later. Make it inside the event loop, or give it `timers`."""

    def __init__(self, name: str, *, timers: Timers | None = None, random: Callable[[], float] = random.random) -> None:
        self._timers: Timers = timers or asyncio.get_running_loop()
        self._random = random
        self._ready: deque[K] = deque()
        self._dirty: dict[K, float] = {}  # to be worked on -> since when
        self._working: dict[K, float] = {}  # being worked on -> since when
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}  # to be added -> when; what the heap says otherwise is out of date
        self._heap: list[tuple[float, int, K]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._timer_at = float("inf")
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._shut_down = False
        self._metrics = _Metrics(name, self)

    def __len__(self) -> int:
        """How many keys wait for a worker."""
        return len(self._ready)

    def add(self, key: K) -> None:
        """Have `key` worked on: once, however often it is added before that, and again if it is being worked on."""
        if self._shut_down or key in self._dirty:
            return
        self._metrics.adds.inc()
        self._dirty[key] = self._timers.time()
        if key not in self._working:
            self._enqueue(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Add `key` in a while; if it already is to be added later, the earlier of both times counts."""
        if self._shut_down:
            return
        if seconds <= 0:
            self.add(key)
            return
        when = self._timers.time() + seconds
        if when >= self._due.get(key, float("inf")):
            return
        self._due[key] = when
        heapq.heappush(self._heap, (when, next(self._order), key))
        if len(self._heap) > 2 * len(self._due) + 64:  # mostly times that an earlier one has replaced
            self._heap = [item for item in self._heap if self._due.get(item[2]) == item[0]]
            heapq.heapify(self._heap)
        self._set_timer()

    def add_rate_limited(self, key: K) -> None:
        """Add `key` after a failure: in 1 s, doubled with each failure since the last `forget`, at most 5 minutes."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._metrics.retries.inc()
        backoff = FIRST_RETRY_SECONDS * 2.0 ** min(failures, 16)
        self.add_after(key, min(LONGEST_RETRY_SECONDS, backoff * (1.0 + JITTER * self._random())))

    def forget(self, key: K) -> None:
        """Its next failure is again the first one."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """How often `key` has failed since the last `forget`."""
        return self._failures.get(key, 0)

    def work_ages_seconds(self) -> list[float]:
        """For how long each key in work has been so."""
        now = self._timers.time()
        return [now - since for since in self._working.values()]

    async def get(self) -> K | None:
        """Wait for a key and take it; None once the queue is shut down. Call `done` with it afterwards."""
        while not self._ready and not self._shut_down:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                if waiter.done() and not waiter.cancelled():
                    self._wake()  # the call was ours: pass it on
                raise
        if self._shut_down:
            return None
        key = self._ready.popleft()
        now = self._timers.time()
        self._metrics.depth.set(len(self._ready))
        self._metrics.queued.observe(now - self._dirty.pop(key))
        self._working[key] = now
        return key

    def done(self, key: K) -> None:
        """`key` has been worked on. If it was added meanwhile, it is to be worked on again."""
        self._metrics.worked.observe(self._timers.time() - self._working.pop(key))
        if key in self._dirty:
            self._enqueue(key)

    def shutdown(self) -> None:
        """Take in and give out no more keys: `run` ends when the keys in work are done."""
        self._shut_down = True
        if self._timer is not None:
            self._timer.cancel()
        while self._waiters:
            self._wake()

    async def run(
        self,
        handler: Callable[[K], Awaitable[float | None]],
        workers: int,
        *,
        controller_of: Callable[[K], str] | None = None,
    ) -> None:
        """Work on keys until `shutdown`, `workers` at a time.

        `handler` returns None when all is done for now, or the seconds after which to call it again (0: at once). What
        it raises is logged, and the key comes again by `add_rate_limited`. `controller_of` gives the metrics' label.
        """
        label = controller_of or (lambda _: self._metrics.name)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(self._worker(handler, workers, label))

    async def _worker(
        self, handler: Callable[[K], Awaitable[float | None]], workers: int, controller_of: Callable[[K], str]
    ) -> None:
        while (key := await self.get()) is not None:
            controller = controller_of(key)
            telemetry.MAX_CONCURRENT_RECONCILES.labels(controller).set(workers)
            started = time.perf_counter()
            try:
                with telemetry.ACTIVE_WORKERS.labels(controller).track_inprogress():
                    result = await self._work(handler, key, controller)
            finally:
                self.done(key)
            telemetry.RECONCILE_TOTAL.labels(controller, result).inc()
            telemetry.RECONCILE_TIME.labels(controller).observe(time.perf_counter() - started)

    async def _work(self, handler: Callable[[K], Awaitable[float | None]], key: K, controller: str) -> str:
        try:
            again_seconds = await handler(key)
        except errors.ApiError as error:
            logger.warning("%s failed: %s", key, error, extra={"controller": controller, "reason": error.reason})
            telemetry.ERRORS.labels(type(error).__name__, COMPONENT).inc()
        except Exception as error:
            logger.exception("%s failed", key, extra={"controller": controller})
            telemetry.ERRORS.labels(type(error).__name__, COMPONENT).inc()
        else:
            self.forget(key)
            if again_seconds is None:
                return "success"
            self.add_after(key, again_seconds)
            return "requeue_after" if again_seconds > 0 else "requeue"
        telemetry.RECONCILE_ERRORS.labels(controller).inc()
        self.add_rate_limited(key)
        return "error"

    def _enqueue(self, key: K) -> None:
        self._ready.append(key)
        self._metrics.depth.set(len(self._ready))
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _set_timer(self) -> None:
        when = self._heap[0][0] if self._heap else float("inf")
        if when >= self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = self._timers.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, float("inf")
        now = self._timers.time()
        while self._heap and self._heap[0][0] <= now:
            when, _, key = heapq.heappop(self._heap)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
        self._set_timer()


class _Metrics:
    """client-go's metrics of a queue of this name."""

    def __init__(self, name: str, queue: WorkQueue[K]) -> None:
        self.name = name
        self.depth = telemetry.QUEUE_DEPTH.labels(name)
        self.adds = telemetry.QUEUE_ADDS.labels(name)
        self.retries = telemetry.QUEUE_RETRIES.labels(name)
        self.queued = telemetry.QUEUE_DURATION.labels(name)
        self.worked = telemetry.QUEUE_WORK_DURATION.labels(name)
        telemetry.QUEUE_UNFINISHED.labels(name).set_function(lambda: sum(queue.work_ages_seconds()))
        telemetry.QUEUE_LONGEST_RUNNING.labels(name).set_function(lambda: max(queue.work_ages_seconds(), default=0.0))
