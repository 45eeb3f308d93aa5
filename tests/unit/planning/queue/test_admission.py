"""The admission queue: no limit passed, priorities kept, namespaces served in turn, the same order each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.builders import NOW

from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.planning.queue.admission import (
    CLUSTER,
    Candidate,
    Pool,
    Pools,
    Queue,
    admit,
    full_pool,
    order,
    pools_of,
)

NAMESPACES = ("a", "b", "c")


def pools_in(namespace: str) -> st.SearchStrategy[tuple[str, Pools]]:
    """Pools of a run of that namespace."""
    templates, servers = st.sampled_from(["", "t1", "t2"]), st.sets(st.sampled_from(["s1", "s2"]))
    pools = st.builds(pools_of, st.just(namespace), templates, servers, queued_elsewhere=st.booleans())
    return pools.map(lambda found: (namespace, found))


CANDIDATES = st.lists(
    st.builds(
        lambda hours, name, place, level: Candidate(NOW - timedelta(hours=hours), place[0], name, place[1], level),
        hours=st.integers(0, 3),
        name=st.text("xyz", min_size=1, max_size=3),
        place=st.sampled_from(NAMESPACES).flatmap(pools_in),
        level=st.sampled_from(Priority).map(lambda priority: priority.level),
    ),
    unique_by=lambda candidate: (candidate.namespace, candidate.name),
    max_size=14,
)
EVERY_POOL = (
    CLUSTER,
    *(Pool(RunReason.NAMESPACE_LIMIT, namespace) for namespace in NAMESPACES),
    *(Pool(RunReason.TEMPLATE_LIMIT, namespace, name) for namespace in NAMESPACES for name in ("t1", "t2")),
    *(Pool(RunReason.SERVER_LIMIT, namespace, name) for namespace in NAMESPACES for name in ("s1", "s2")),
)
NUMBERS = st.dictionaries(st.sampled_from(EVERY_POOL), st.integers(0, 5), max_size=8)
AGING = st.sampled_from([0, 1800, 3600])
LimitOf = Callable[[Pool], int | None]


def a_candidate(
    name: str, *, hours: float = 0, namespace: str = "default", priority: Priority = Priority.MEDIUM, template: str = ""
) -> Candidate:
    """A run that was created `hours` ago."""
    pools = pools_of(namespace, template, ())
    return Candidate(NOW - timedelta(hours=hours), namespace, name, pools, priority.level)


def only(limit: int) -> LimitOf:
    """A limit for the cluster, and none else."""
    return lambda pool: limit if pool == CLUSTER else None


def taken(used: Mapping[Pool, int], admitted: Iterable[Candidate]) -> Counter[Pool]:
    """The places in use once the runs have started."""
    return Counter(used) + Counter(pool for candidate in admitted for pool in candidate.pools)


@settings(max_examples=150)
@given(CANDIDATES, NUMBERS, NUMBERS, AGING)
def test_no_limit_is_passed_and_no_place_stays_free_that_a_run_could_have(
    found: list[Candidate], used: dict[Pool, int], limits: dict[Pool, int], aging: int
) -> None:
    admitted = admit(Queue(found), used, limits.get, NOW, aging)
    after = taken(used, admitted)

    assert len(set(admitted)) == len(admitted)
    assert set(admitted) <= set(found)
    for pool, limit in limits.items():
        assert after[pool] <= max(limit, used.get(pool, 0))
    for waiting in set(found) - set(admitted):
        assert full_pool(waiting.pools, after, limits.get)


@settings(max_examples=150)
@given(CANDIDATES, NUMBERS, NUMBERS)
def test_no_run_starts_while_one_of_a_higher_priority_could(
    found: list[Candidate], used: dict[Pool, int], limits: dict[Pool, int]
) -> None:
    admitted = admit(Queue(found), used, limits.get, NOW)

    for place, candidate in enumerate(admitted):
        before = taken(used, admitted[:place])
        others = set(found) - set(admitted[:place])
        could = [other for other in others if not full_pool(other.pools, before, limits.get)]
        assert candidate.level == max(other.level for other in could)


@settings(max_examples=150)
@given(CANDIDATES, NUMBERS, NUMBERS)
def test_of_one_priority_the_namespace_with_the_fewest_runs_is_served_and_in_it_the_oldest(
    found: list[Candidate], used: dict[Pool, int], limits: dict[Pool, int]
) -> None:
    admitted = admit(Queue(found), used, limits.get, NOW)

    for place, candidate in enumerate(admitted):
        before = taken(used, admitted[:place])
        equals = [
            other
            for other in set(found) - set(admitted[:place])
            if other.level == candidate.level and not full_pool(other.pools, before, limits.get)
        ]
        share = {other: before[Pool(RunReason.NAMESPACE_LIMIT, other.namespace)] for other in equals}
        assert share[candidate] == min(share.values())
        assert candidate == min(other for other in equals if share[other] == share[candidate])


@settings(max_examples=60)
@given(CANDIDATES.flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))), NUMBERS, AGING)
def test_the_order_in_which_runs_come_to_the_queue_does_not_matter(
    queues: tuple[list[Candidate], list[Candidate]], limits: dict[Pool, int], aging: int
) -> None:
    first, second = queues

    assert admit(Queue(first), {}, limits.get, NOW, aging) == admit(Queue(second), {}, limits.get, NOW, aging)


@settings(max_examples=60)
@given(CANDIDATES, NUMBERS)
def test_a_look_at_the_queue_changes_nothing_in_it(found: list[Candidate], limits: dict[Pool, int]) -> None:
    queue = Queue(found)
    admit(queue, {}, limits.get, NOW)
    order(queue, {}, NOW)

    assert sorted(queue) == sorted(found)


@settings(max_examples=60)
@given(CANDIDATES, st.data())
def test_what_is_taken_out_of_the_queue_is_no_candidate_any_more(found: list[Candidate], data: st.DataObject) -> None:
    queue = Queue(found)
    gone = data.draw(st.lists(st.sampled_from(found), unique=True)) if found else []
    for candidate in gone:
        queue.remove(candidate)

    assert sorted(queue) == sorted(set(found) - set(gone))
    for candidate in gone:
        with pytest.raises(KeyError):
            queue.remove(candidate)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.sampled_from([600, 1800]))
def test_with_aging_nothing_starves_however_many_runs_of_high_priority_come(
    slots: int, arrivals: int, aging: int
) -> None:
    """Every run takes ten minutes, and more runs of a high priority come in that time than there are slots."""
    low = a_candidate("low", priority=Priority.LOW)
    queue, moment, number = Queue([low]), NOW, 0
    for _ in range(1000):
        for _ in range(slots + arrivals):
            queue.add(a_candidate(f"high-{number}", priority=Priority.HIGH)._replace(created=moment))
            number += 1
        started = admit(queue, {}, only(slots), moment, aging)
        if low in started:
            return
        for candidate in started:
            queue.remove(candidate)
        moment += timedelta(minutes=10)
    pytest.fail("the run of a low priority never started")


def test_without_aging_a_high_priority_always_goes_first() -> None:
    old, new = a_candidate("old", hours=1000, priority=Priority.LOW), a_candidate("new", priority=Priority.HIGH)

    assert admit(Queue([old, new]), {}, only(1), NOW) == (new,)


@pytest.mark.parametrize(
    ("hours", "first"),
    [
        pytest.param(1.9, "fresh", id="not old enough for two steps"),
        pytest.param(2, "old", id="two steps up, and older"),
        pytest.param(-5, "fresh", id="a creation in the future ages nothing"),
    ],
)
def test_a_run_goes_up_a_step_with_each_period_of_waiting(hours: float, first: str) -> None:
    old = a_candidate("old", hours=hours, priority=Priority.LOW)
    fresh = a_candidate("fresh", priority=Priority.HIGH)

    assert admit(Queue([old, fresh]), {}, only(1), NOW, aging_seconds=3600)[0].name == first


@pytest.mark.parametrize(
    ("queue", "expected"),
    [
        pytest.param([a_candidate("b"), a_candidate("c", hours=1)], ["c", "b"], id="the oldest first"),
        pytest.param([a_candidate("b"), a_candidate("a")], ["a", "b"], id="by name where the ages are the same"),
        pytest.param(
            [a_candidate("a", namespace="two"), a_candidate("b", namespace="one")], ["b", "a"], id="by namespace first"
        ),
        pytest.param(
            [
                a_candidate("a", namespace="one", hours=2),
                a_candidate("b", namespace="one", hours=2),
                a_candidate("c", namespace="two", hours=1),
            ],
            ["a", "c", "b"],
            id="namespaces in turn",
        ),
        pytest.param(
            [a_candidate("a", hours=9, priority=Priority.LOW), a_candidate("b", priority=Priority.HIGH)],
            ["b", "a"],
            id="the priority counts more than the age",
        ),
    ],
)
def test_the_order_is_total(queue: list[Candidate], expected: list[str]) -> None:
    assert [candidate.name for candidate in order(Queue(queue), {}, NOW)] == expected


def test_a_full_template_does_not_hold_up_runs_of_others() -> None:
    queue = Queue([a_candidate("a", hours=1, template="full"), a_candidate("b", template="free")])
    limits = {Pool(RunReason.TEMPLATE_LIMIT, "default", "full"): 0, CLUSTER: 1}

    assert [candidate.name for candidate in admit(queue, {}, limits.get, NOW)] == ["b"]


@pytest.mark.parametrize(
    ("active", "limit"),
    [
        pytest.param(0, 0, id="a limit of none"),
        pytest.param(3, 3, id="full"),
        pytest.param(5, 3, id="more than full, after the limit was lowered"),
    ],
)
def test_nobody_starts_without_a_free_slot(active: int, limit: int) -> None:
    assert admit(Queue([a_candidate("a")]), {CLUSTER: active}, only(limit), NOW) == ()


@pytest.mark.parametrize(
    ("full", "reason"),
    [
        ({CLUSTER}, RunReason.CLUSTER_LIMIT),
        ({CLUSTER, Pool(RunReason.NAMESPACE_LIMIT, "a")}, RunReason.NAMESPACE_LIMIT),
        ({CLUSTER, Pool(RunReason.TEMPLATE_LIMIT, "a", "t1")}, RunReason.TEMPLATE_LIMIT),
        ({Pool(RunReason.SERVER_LIMIT, "a", "s1"), Pool(RunReason.TEMPLATE_LIMIT, "a", "t1")}, RunReason.SERVER_LIMIT),
        ({Pool(RunReason.TEMPLATE_LIMIT, "b", "t1")}, None),
    ],
)
def test_a_run_waits_for_the_narrowest_pool_that_is_full(full: set[Pool], reason: RunReason | None) -> None:
    found = full_pool(pools_of("a", "t1", ["s2", "s1"]), {}, lambda pool: 0 if pool in full else None)

    assert (found.reason if found else None) == reason


def test_a_run_that_is_queued_elsewhere_takes_no_place_of_the_cluster_and_of_the_namespace() -> None:
    reasons = {pool.reason for pool in pools_of("a", "t", ["s"], queued_elsewhere=True)}

    assert reasons == {RunReason.SERVER_LIMIT, RunReason.TEMPLATE_LIMIT}
