"""The work queue on a clock that is turned by hand, and its workers on the real loop."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.waiting import PATIENCE_SECONDS

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.controllers import workqueue

NAMES = itertools.count()


@dataclass(order=True)
class Call:
    when: float
    order: int
    callback: Callable[[], object] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """Timers that go off when the clock is turned past them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.calls: list[Call] = []
        self._order = itertools.count()

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, callback: Callable[[], object], /) -> Call:
        call = Call(when, next(self._order), callback)
        heapq.heappush(self.calls, call)
        return call

    def turn(self, seconds: float) -> None:
        end = self.now + seconds
        while self.calls and self.calls[0].when <= end:
            call = heapq.heappop(self.calls)
            self.now = max(self.now, call.when)
            if not call.cancelled:
                call.callback()
        self.now = end


def a_queue(clock: Clock | None = None, random: float = 0.0) -> workqueue.WorkQueue[str]:
    return workqueue.WorkQueue(f"queue-{next(NAMES)}", timers=clock or Clock(), random=lambda: random)


def taken(queue: workqueue.WorkQueue[str]) -> str | None:
    """The key that `get` gives at once; None if it would wait."""
    if not len(queue):
        return None
    step = queue.get()
    with pytest.raises(StopIteration) as stopped:
        step.send(None)
    key: str | None = stopped.value.value
    return key


def test_keys_come_in_order_and_a_key_waits_only_once() -> None:
    queue = a_queue()
    for key in ("a", "b", "a"):
        queue.add(key)
    assert [taken(queue), taken(queue), taken(queue)] == ["a", "b", None]


def test_a_key_that_is_added_while_in_work_comes_again_after_it_and_not_before() -> None:
    queue = a_queue()
    queue.add("a")
    assert taken(queue) == "a"
    queue.add("a")
    queue.add("a")
    assert taken(queue) is None
    queue.done("a")
    assert taken(queue) == "a"
    queue.done("a")
    assert taken(queue) is None


def test_of_two_later_times_the_earlier_counts() -> None:
    clock = Clock()
    queue = a_queue(clock)
    queue.add_after("a", 60)
    queue.add_after("a", 10)
    queue.add_after("a", 30)
    clock.turn(9.9)
    assert taken(queue) is None
    clock.turn(0.2)
    assert taken(queue) == "a"
    queue.done("a")
    clock.turn(100)
    assert taken(queue) is None


def test_the_moment_of_a_key_may_have_passed_already() -> None:
    clock = Clock()
    queue = a_queue(clock)
    queue.add_after("past", -5)
    queue.add_after("future", 5)
    assert taken(queue) == "past"
    clock.turn(5)
    assert taken(queue) == "future"


def test_failures_wait_ever_longer_up_to_five_minutes_until_forgotten() -> None:
    clock = Clock()
    queue = a_queue(clock)
    waits = []
    for _ in range(11):
        queue.add_rate_limited("a")
        waits.append(clock.calls[0].when - clock.now)
        clock.turn(300)
        assert taken(queue) == "a"
        queue.done("a")
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert queue.failures("a") == 11
    queue.forget("a")
    queue.add_rate_limited("a")
    assert clock.calls[0].when - clock.now == 1


def test_equal_failures_are_spread_by_a_fifth() -> None:
    clock = Clock()
    a_queue(clock, random=1.0).add_rate_limited("a")
    assert clock.calls[0].when - clock.now == pytest.approx(1.2)


def test_times_that_were_replaced_do_not_pile_up() -> None:
    clock = Clock()
    queue = a_queue(clock)
    for _ in range(5000):
        queue.add_after("a", 300)
        queue.add_after("a", 0.1)
        clock.turn(0.1)
        assert taken(queue) == "a"
        queue.done("a")
    assert len(queue._heap) < 100


class Queue(RuleBasedStateMachine):
    """The queue against a plain account of what was asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.queue = a_queue(self.clock)
        self.wanted: set[str] = set()
        self.working: set[str] = set()
        self.later: dict[str, float] = {}

    keys = st.sampled_from("abcd")

    @rule(key=keys)
    def add(self, key: str) -> None:
        self.queue.add(key)
        self.wanted.add(key)

    @rule(key=keys, seconds=st.integers(1, 100))
    def add_after(self, key: str, seconds: int) -> None:
        self.queue.add_after(key, seconds)
        self.later[key] = min(self.later.get(key, float("inf")), self.clock.now + seconds)

    @rule(seconds=st.integers(0, 60))
    def time_passes(self, seconds: int) -> None:
        self.clock.turn(seconds)
        due = {key for key, when in self.later.items() if when <= self.clock.now}
        self.wanted |= due
        self.later = {key: when for key, when in self.later.items() if key not in due}

    @precondition(lambda self: len(self.queue) > 0)
    @rule()
    def get(self) -> None:
        key = taken(self.queue)
        assert key is not None
        assert key not in self.working, "a key is in work twice"
        assert key in self.wanted, "nobody asked for it"
        self.wanted.remove(key)
        self.working.add(key)

    @precondition(lambda self: self.working)
    @rule(data=st.data())
    def done(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.working)))
        self.queue.done(key)
        self.working.remove(key)

    @invariant()
    def all_that_is_wanted_waits_unless_it_is_in_work(self) -> None:
        assert len(self.queue) == len(self.wanted - self.working)


Queue.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
test_the_queue_keeps_its_promises_whatever_comes = Queue.TestCase


async def test_workers_run_side_by_side_but_a_key_never_twice() -> None:
    queue: workqueue.WorkQueue[str] = workqueue.WorkQueue("side-by-side")
    running: list[str] = []
    most = 0
    worked: list[str] = []

    async def handler(key: str) -> None:
        nonlocal most
        assert key not in running
        running.append(key)
        most = max(most, len(running))
        if len(worked) < 20:
            queue.add(key)
        await asyncio.sleep(0)
        running.remove(key)
        worked.append(key)
        if len(worked) == 30:
            queue.shutdown()

    for key in "abcdefghij":
        queue.add(key)
    async with asyncio.timeout(PATIENCE_SECONDS):
        await queue.run(handler, 3)
    assert most == 3


@pytest.mark.parametrize(
    ("outcomes", "results", "waits"),
    [
        pytest.param([None], {"success": 1}, [], id="done"),
        pytest.param([0.0, None], {"requeue": 1, "success": 1}, [], id="again-at-once"),
        pytest.param([30.0, None], {"requeue_after": 1, "success": 1}, [30.0], id="again-later"),
        pytest.param([OSError("x"), OSError("x"), None], {"error": 2, "success": 1}, [1.0, 2.0], id="failed-twice"),
        pytest.param([errors.Conflict("changed"), None], {"error": 1, "success": 1}, [1.0], id="refused-by-the-api"),
    ],
)
async def test_what_the_handler_says_decides_when_the_key_comes_again(
    outcomes: list[Any], results: dict[str, int], waits: list[float]
) -> None:
    clock = Clock()
    queue = a_queue(clock)
    left, controller = list(outcomes), f"controller-{next(NAMES)}"

    async def handler(key: str) -> float | None:
        outcome = left.pop(0)
        if not left:
            queue.shutdown()
        if isinstance(outcome, Exception):
            raise outcome
        seconds: float | None = outcome
        return seconds

    queue.add("a")
    task = asyncio.create_task(queue.run(handler, 1, controller_of=lambda _: controller))
    seen = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not task.done():
            await asyncio.sleep(0)
            if clock.calls and not len(queue):
                seen.append(clock.calls[0].when - clock.now)
                clock.turn(seen[-1])
    assert seen == waits
    assert left == []
    labels = [{"controller": controller, "result": result} for result in results]
    totals = [telemetry.OPERATOR.get_sample_value("controller_runtime_reconcile_total", label) for label in labels]
    assert totals == [*results.values()]
    failed = telemetry.OPERATOR.get_sample_value(
        "controller_runtime_reconcile_errors_total", {"controller": controller}
    )
    assert (failed or 0) == results.get("error", 0)


async def test_shutdown_waits_for_what_is_in_work_and_starts_nothing_more() -> None:
    queue: workqueue.WorkQueue[str] = workqueue.WorkQueue("shutdown")
    begun, may_end = asyncio.Event(), asyncio.Event()
    worked: list[str] = []

    async def handler(key: str) -> None:
        begun.set()
        await may_end.wait()
        worked.append(key)

    queue.add("a")
    queue.add("b")
    task = asyncio.create_task(queue.run(handler, 1))
    await begun.wait()
    queue.shutdown()
    queue.add("c")
    queue.add_after("d", 1)
    may_end.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await task
    assert worked == ["a"]


async def test_cancelling_a_waiting_worker_loses_no_key() -> None:
    queue: workqueue.WorkQueue[str] = workqueue.WorkQueue("cancelled")
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await second == "a"


async def test_the_queue_is_measured_under_the_names_of_client_go() -> None:
    clock = Clock()
    queue: workqueue.WorkQueue[str] = workqueue.WorkQueue("measured", timers=clock)

    def sample(name: str) -> float | None:
        return telemetry.OPERATOR.get_sample_value(name, {"name": "measured"})

    queue.add("a")
    queue.add("b")
    assert (sample("workqueue_depth"), sample("workqueue_adds_total")) == (2, 2)
    clock.turn(5)
    assert taken(queue) == "a"
    clock.turn(3)
    assert taken(queue) == "b"
    clock.turn(1)
    assert sample("workqueue_depth") == 0
    assert sample("workqueue_unfinished_work_seconds") == 5
    assert sample("workqueue_longest_running_processor_seconds") == 4
    assert sample("workqueue_queue_duration_seconds_sum") == 13
    queue.done("a")
    queue.add_rate_limited("a")
    assert sample("workqueue_work_duration_seconds_sum") == 4
    assert sample("workqueue_retries_total") == 1
