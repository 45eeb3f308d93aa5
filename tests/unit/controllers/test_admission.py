"""Who may start: the slots, from the offer of a candidate to the record of its start."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from prometheus_client import Gauge
from tests.builders import NOW

from mcp_orchestrator import telemetry
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.admission import Admission
from mcp_orchestrator.controllers.operator import Operator
from mcp_orchestrator.controllers.store import Key
from mcp_orchestrator.planning.admission import Candidate
from mcp_orchestrator.settings import Settings


def a_key(name: str) -> Key:
    return Key(records.RUN, "default", name)


def a_candidate(name: str, seconds: int = 0) -> Candidate:
    return Candidate(NOW + timedelta(seconds=seconds), "default", name)


class Cluster:
    """What is on record: who runs. `wake` tells the admission's grants."""

    def __init__(self, limit: int) -> None:
        self.active: set[Key] = set()
        self.woken: list[str] = []
        self.admission = Admission(limit, active=lambda: len(self.active), wake=lambda key: self.woken.append(key.name))

    def offer(self, name: str, seconds: int = 0) -> bool:
        return self.admission.offer(a_key(name), a_candidate(name, seconds))

    def start(self, name: str) -> None:
        """The run's start is on record: first in the store, then it is withdrawn."""
        self.active.add(a_key(name))
        self.admission.withdraw(a_key(name))

    def end(self, name: str) -> None:
        self.active.discard(a_key(name))
        self.admission.decide()


def test_a_candidate_gets_a_free_slot_at_once() -> None:
    cluster = Cluster(1)

    assert cluster.offer("a")
    assert cluster.admission.has_slot(a_key("a"))
    assert cluster.admission.waiting() == 0


def test_a_slot_is_given_once_until_it_is_on_record() -> None:
    cluster = Cluster(1)
    cluster.offer("a")

    assert not cluster.offer("b")
    assert cluster.offer("a")
    assert cluster.woken == ["a"]
    assert (cluster.admission.taken(), cluster.admission.waiting()) == (1, 1)


def test_the_end_of_a_run_starts_the_oldest_that_waits() -> None:
    cluster = Cluster(1)
    cluster.offer("a")
    cluster.start("a")
    cluster.offer("young", seconds=9)
    cluster.offer("old", seconds=1)

    cluster.end("a")

    assert cluster.woken == ["a", "old"]
    assert cluster.admission.has_slot(a_key("old"))


@pytest.mark.parametrize("granted", [True, False])
def test_a_run_that_is_withdrawn_waits_no_more_and_gives_its_slot_to_the_next(granted: bool) -> None:
    cluster = Cluster(1)
    if not granted:
        cluster.offer("first")
    cluster.offer("gone")
    cluster.offer("next", seconds=1)

    cluster.admission.withdraw(a_key("gone"))

    assert not cluster.admission.has_slot(a_key("gone"))
    assert cluster.admission.has_slot(a_key("next")) == granted


def test_a_run_that_is_not_known_can_be_withdrawn() -> None:
    Cluster(1).admission.withdraw(a_key("nobody"))


def test_nobody_starts_where_the_limit_is_none() -> None:
    cluster = Cluster(0)

    assert not cluster.offer("a")
    assert cluster.woken == []


NAMES = st.sampled_from("abcdef")


class Slots(RuleBasedStateMachine):
    """Whatever happens in whatever order, there are never more slots than the limit."""

    LIMIT = 2

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(self.LIMIT)

    @rule(name=NAMES)
    def offer(self, name: str) -> None:
        if a_key(name) not in self.cluster.active:
            self.cluster.offer(name, ord(name))

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        if self.cluster.admission.has_slot(a_key(name)):
            self.cluster.start(name)

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        self.cluster.end(name)

    @rule(name=NAMES)
    def withdraw(self, name: str) -> None:
        self.cluster.admission.withdraw(a_key(name))

    @invariant()
    def slots_are_within_the_limit_and_none_is_wasted(self) -> None:
        taken, waiting = self.cluster.admission.taken(), self.cluster.admission.waiting()
        assert taken <= self.LIMIT
        assert taken == self.LIMIT or waiting == 0


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=25, stateful_step_count=20)


async def test_nothing_is_queued_before_a_replica_leads_so_that_the_oldest_run_is_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kopf and the sweep bring objects in the order of their names."""
    monkeypatch.setattr(telemetry, "ACTIVE_WORKFLOWS", Gauge("active", "", registry=None))
    nobody: Any = None
    operator = Operator(Settings(), client=nobody, probe=nobody)
    for name, second in (("a-young", 9), ("b-old", 1)):
        metadata = {
            "name": name,
            "namespace": "default",
            "uid": name,
            "resourceVersion": str(second),
            "creationTimestamp": f"2026-01-02T03:04:0{second}Z",
        }
        operator.store.upsert(records.RUN, {"metadata": metadata, "spec": {}})

    assert len(operator.queue) == 0
