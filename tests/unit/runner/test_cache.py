"""What a cache does for a run, with a store in memory; tests/integration/runner/test_cache.py asks a real one."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.builders import a_spec, a_task
from tests.unit.runner.scripted_tools import Records, Script, ScriptedTools, after, failing, in_turn, nested_task, run

from mcp_orchestrator.api.cache import Cache as Default
from mcp_orchestrator.api.cache import CacheUse, TaskCache
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.task import ForEach, OnFailure, Task
from mcp_orchestrator.api.workflowrunstatus import Outcome
from mcp_orchestrator.runner.cache.sealing import Seal
from mcp_orchestrator.runner.cache.sharing import PAUSE_SECONDS, Cache, StoreFailed, Unlock
from mcp_orchestrator.runner.control.orders import Order

HIT, MISS = CacheUse.HIT, CacheUse.MISS


@dataclass
class Memory:
    """A store whose values and locks end on the loop's clock. `fails` says of which questions."""

    fails: Callable[[str], bool] = lambda _: False
    values: dict[str, bytes] = field(default_factory=dict)
    seconds: dict[str, int] = field(default_factory=dict)
    locks: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    asked_at: float = 0.0
    most_bytes: int = 1024

    async def get(self, key: str) -> bytes | None:
        self._ask("get")
        return self.values.get(key)

    async def put(self, key: str, value: bytes, seconds: int) -> None:
        self._ask("put")
        self.values[key], self.seconds[key] = value, seconds

    async def lock(self, key: str, seconds: float) -> Unlock | None:
        self._ask("lock")
        now = asyncio.get_running_loop().time()
        if self.locks.get(key, 0.0) > now:
            return None
        self.locks[key] = now + seconds

        async def unlock() -> None:
            self._ask("unlock")
            del self.locks[key]

        return unlock

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        self.asked_at = asyncio.get_running_loop().time()
        if self.fails(what):
            raise StoreFailed(f"no {what}")


def cached(name: str = "a", seconds: int = 60, force: bool = False, **fields: Any) -> Task:
    return a_task(name, cache=TaskCache(ttl_seconds=seconds, force=force), **fields)


def use(records: Records, name: str = "a") -> tuple[int, CacheUse | None, Any]:
    """What the unit's record says: calls, what the cache did, and the result."""
    record = records.last(name)
    return record.attempts, record.cache, record.answer and record.answer.result


def one_call(store: Memory, task: Task, script: Script = after(0.0, "fresh"), **fields: Any) -> Records:  # noqa: B008
    """A run of one task, with a cache of its own in the store."""
    cache = Cache(store, "default", fields.pop("key", b""), refresh=fields.pop("refresh", False))
    return run(a_spec(task), ScriptedTools({"a": script}), cache=cache, **fields)[1]


def test_the_first_call_is_a_miss_and_the_second_is_none() -> None:
    store = Memory()
    assert use(one_call(store, cached())) == (1, MISS, "fresh")
    assert use(one_call(store, cached(), after(0, "other"))) == (0, HIT, "fresh")
    assert list(store.seconds.values()) == [60]
    assert store.locks == {}


def test_a_task_without_a_cache_asks_nothing_of_the_store() -> None:
    store = Memory()
    assert use(one_call(store, a_task("a"))) == (1, None, "fresh")
    assert store.asked == []


def test_a_workflows_cache_counts_for_its_harmless_tools_also_inside_another_workflow() -> None:
    inner = a_spec(a_task("x", tool="read"), a_task("y", tool="write"), cache=Default(ttl_seconds=9))
    store = Memory()
    for _ in range(2):
        tools = ScriptedTools()
        _, records = run(
            a_spec(nested_task("n", "inner")),
            tools,
            nested={"inner": inner},
            unsafe=("write",),
            cache=Cache(store, "default"),
        )
    assert records.last("n/x").cache == HIT
    assert [call.unit for call in tools.calls] == ["n/y"]


def test_a_forced_cache_keeps_an_unsafe_call_from_being_made_or_put_on_record_as_running() -> None:
    store = Memory()
    one_call(store, cached(force=True, tool="write"), unsafe=("write",))
    records = one_call(store, cached(force=True, tool="write"), unsafe=("write",))
    assert use(records) == (0, HIT, "fresh")
    assert records.commits == []


def test_items_that_ask_the_same_share_one_call() -> None:
    workflow = a_spec(
        a_task("a", arguments={"x": "${{ item }}"}, for_each=ForEach(items=["s", "s", "t"]), max_parallel=3),
        cache=Default(ttl_seconds=9),
    )
    tools = ScriptedTools({"a": after(5, "fresh")})
    _, records = run(workflow, tools, cache=Cache(Memory(), "default"))
    assert [call.unit for call in tools.calls] == ["a[0]", "a[2]"]
    assert use(records, "a[1]") == (0, HIT, "fresh")


def test_a_refreshing_run_makes_the_call_and_keeps_the_answer() -> None:
    store = Memory()
    one_call(store, cached())
    assert use(one_call(store, cached(), after(0, "newer"), refresh=True)) == (1, CacheUse.REFRESHED, "newer")
    assert use(one_call(store, cached(), after(0, "other"))) == (0, HIT, "newer")


def test_a_call_that_fails_is_not_kept() -> None:
    store = Memory()
    assert use(one_call(store, cached(), failing(0))) == (1, None, None)
    assert store.values == {}
    assert store.locks == {}


def test_an_answer_that_does_not_succeed_here_is_asked_for_anew() -> None:
    store = Memory()
    one_call(store, cached(), after(0, {"good": False}))
    picky = cached(success_when="result.good")
    assert use(one_call(store, picky, after(0, {"good": True}))) == (1, MISS, {"good": True})
    assert use(one_call(store, picky)) == (0, HIT, {"good": True})


RUBBISH = [b"", b"{", b"[]", b"null", b"{}", b'{"content": 3}', b"\xff"]


@pytest.mark.parametrize("key", [b"", b"k"], ids=["plain", "encrypted"])
@pytest.mark.parametrize("rubbish", [*RUBBISH, *map(gzip.compress, RUBBISH), gzip.compress(b"0" * 2**26), bytes(64)])
def test_what_can_not_be_read_is_not_there(rubbish: bytes, key: bytes) -> None:
    store = Memory()
    one_call(store, cached(), key=key)
    store.values = dict.fromkeys(store.values, rubbish)
    assert use(one_call(store, cached(), after(0, "newer"), key=key)) == (1, MISS, "newer")


def test_a_result_in_which_a_secret_turns_up_is_not_kept() -> None:
    store = Memory()
    records = one_call(store, cached(arguments={}), after(0, "the s3cret"), secret=b"s3cret")
    assert use(records) == (1, MISS, "the s3cret")
    assert store.values == {}


def test_a_secret_among_the_arguments_needs_a_key_that_hides_it() -> None:
    task, store = cached(arguments={"token": "s3cret"}), Memory()
    assert use(one_call(store, task, secret=b"s3cret")) == (1, None, "fresh")
    assert store.asked == []
    assert use(one_call(store, task, secret=b"s3cret", key=b"k")) == (1, MISS, "fresh")
    assert use(one_call(store, task, secret=b"s3cret", key=b"k")) == (0, HIT, "fresh")


def test_a_very_large_answer_is_not_kept() -> None:
    store, random = Memory(), os.urandom(1024).hex()
    assert use(one_call(store, cached(), after(0, random)))[:2] == (1, MISS)
    assert store.values == {}
    assert store.locks == {}


def test_an_answer_is_kept_compressed() -> None:
    store = Memory()
    one_call(store, cached(), after(0, "x" * 100_000))
    assert use(one_call(store, cached())) == (0, HIT, "x" * 100_000)


def test_with_a_key_answers_are_encrypted_and_each_can_be_read_in_its_own_place_alone() -> None:
    store, tasks = Memory(), [cached(arguments={"n": n}) for n in range(2)]
    for task in tasks:
        one_call(store, task, after(0, "fresh"), key=b"k")
    assert [Seal().open(place, value) for place, value in store.values.items()] == [None, None]
    (one, first), (other, second) = store.values.items()
    store.values = {one: second, other: first}
    assert use(one_call(store, tasks[0], after(0, "newer"), key=b"k")) == (1, MISS, "newer")


@pytest.mark.parametrize(
    ("fails", "expected"),
    [
        pytest.param("get", None, id="reading"),
        pytest.param("lock", None, id="locking"),
        pytest.param("put", None, id="keeping"),
        pytest.param("unlock", MISS, id="unlocking"),
    ],
)
def test_a_store_that_fails_costs_nothing_but_the_cache(
    fails: str, expected: CacheUse | None, caplog: pytest.LogCaptureFixture
) -> None:
    records = one_call(Memory(lambda what: what == fails), cached())
    assert use(records) == (1, expected, "fresh")
    assert [record.getMessage() for record in caplog.records] == [f"the cache is left alone for 30 s: no {fails}"]


def test_a_store_that_failed_is_left_alone_for_a_while() -> None:
    store = Memory(lambda what: len(store.asked) == 1)
    workflow = a_spec(cached("a"), cached("b", depends_on=["a"]), cached("c", depends_on=["b"]))
    tools = ScriptedTools({"b": after(PAUSE_SECONDS, None)})
    _, records = run(workflow, tools, cache=Cache(store, "default"))
    assert [records.last(name).cache for name in "abc"] == [None, MISS, HIT]


# --- runs at the same time -------------------------------------------------------------------------------------------


def held(store: Memory, task: Task, seconds: float) -> None:
    """Another run has made the call, and been lost: its lock stands until then."""
    one_call(store, task)
    store.locks = dict.fromkeys(store.values, seconds)
    store.values.clear()


def test_who_waits_for_a_run_that_was_lost_makes_the_call_once_its_lock_is_over() -> None:
    store, tools = Memory(), ScriptedTools({"a": after(0, "fresh")})
    held(store, cached(), 7)
    _, records = run(a_spec(cached()), tools, cache=Cache(store, "default"))
    assert use(records) == (1, MISS, "fresh")
    assert 7 <= tools.began["a"] < 8


def test_an_answer_that_comes_right_before_the_lock_is_seen() -> None:
    store = Memory()
    one_call(store, cached())
    ((key, value),) = store.values.items()
    store.values.clear()

    def another_run_ends(what: str) -> bool:
        if what == "lock":
            store.values[key] = value
        return False

    store.fails = another_run_ends
    assert use(one_call(store, cached(), after(0, "other"))) == (0, HIT, "fresh")


def test_nobody_waits_for_longer_than_one_attempt_may_take() -> None:
    store, tools = Memory(), ScriptedTools()
    held(store, cached(), 1000)
    run(a_spec(cached(timeout_seconds=5)), tools, cache=Cache(store, "default"))
    assert 5 <= tools.began["a"] < 6


def test_the_time_of_waiting_counts_for_the_tasks_deadline() -> None:
    store, tools = Memory(), ScriptedTools()
    held(store, cached(), 1000)
    _, records = run(a_spec(cached(deadline_seconds=5)), tools, cache=Cache(store, "default"))
    assert tools.calls == []
    assert store.asked_at < 6
    assert records.last("a").error.class_ == ErrorClass.TIMEOUT  # type: ignore[union-attr]


def test_who_waits_leaves_when_the_run_ends() -> None:
    store, tools = Memory(), ScriptedTools({"b": failing(3)})
    held(store, cached(), 1000)
    _, records = run(a_spec(cached(), a_task("b")), tools, cache=Cache(store, "default"))
    assert records.words("a").startswith("RunFailed: ")
    assert 3 <= store.asked_at < 4
    assert [call.unit for call in tools.calls] == ["b"]


def test_an_interrupted_call_gives_its_lock_back() -> None:
    store = Memory()
    run(a_spec(cached()), ScriptedTools({"a": after(100, None)}), cache=Cache(store, "default"), timeout_seconds=3)
    assert store.asked[-1] == "unlock"
    assert store.locks == {}


def test_the_next_in_turn_calls_when_a_call_has_failed() -> None:
    tools = ScriptedTools({"a": failing(3), "b": after(1, "good")})
    workflow = a_spec(cached("a", on_failure=OnFailure.CONTINUE), cached("b"))
    _, records = run(workflow, tools, cache=Cache(Memory(), "default"), retry={"attempts": 1})
    assert use(records, "b") == (1, MISS, "good")
    assert 3 <= tools.began["b"] < 4


def test_a_call_that_is_repeated_is_a_miss_all_the_same() -> None:
    script = in_turn(failing(0, error_class=ErrorClass.BUSY, never_sent=True), after(0, "fresh"))
    assert use(one_call(Memory(), cached(), script)) == (2, MISS, "fresh")


@pytest.mark.parametrize("busy", [pytest.param(True, id="another run calls"), pytest.param(False, id="nobody does")])
def test_a_suspended_run_waits_for_no_cache_and_keeps_the_answer_that_was_under_way(busy: bool) -> None:
    store = Memory()
    if busy:
        one_call(other := Memory(), cached())
        store.locks = dict.fromkeys(other.values, 10**6)
    suspend = Order(suspend=True, message="held")
    cache = Cache(store, "default")
    tools = ScriptedTools({"a": after(10, "fresh")})
    ending, records = run(a_spec(cached(), a_task("b", depends_on=("a",))), tools, cache=cache, orders={3: suspend})
    assert ending
    assert ending.outcome == Outcome.SUSPENDED
    assert store.asked_at < (4 if busy else 11)
    assert records.last_phases() == ({} if busy else {"a": "Succeeded"})
    assert len(store.values) == (0 if busy else 1)
