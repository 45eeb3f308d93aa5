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
from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.workflowrunstatus import RunReason
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.admission import EXPLAINED, Admission
from mcp_orchestrator.controllers.operator import Operator
from mcp_orchestrator.controllers.store import Key
from mcp_orchestrator.planning.queue.admission import Candidate, Pool, pools_of
from mcp_orchestrator.settings import Settings


def a_key(name: str) -> Key:
    return Key(records.RUN, "default", name)


def a_candidate(name: str, seconds: int = 0, template: str = "", servers: tuple[str, ...] = ()) -> Candidate:
    return Candidate(NOW + timedelta(seconds=seconds), "default", name, pools_of("default", template, servers), level=1)


class Cluster:
    """A store with what is on record. `woken` are the runs that the admission woke."""

    def __init__(self, limit: int, **limits: Any) -> None:
        self.store = records.new_store()
        self.woken: list[str] = []
        self.limits = Limits(max_concurrent_runs=limit, **limits)
        self.admission = Admission(self.store, self.limits, wake=lambda key: self.woken.append(key.name))
        self.version = 0

    def offer(self, name: str, seconds: int = 0, template: str = "", servers: tuple[str, ...] = ()) -> bool:
        return self.admission.offer(a_key(name), a_candidate(name, seconds, template, servers))

    def record(self, name: str, status: dict[str, Any], template: str = "") -> None:
        """What the API server has of the run."""
        self.version += 1
        metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(self.version)}
        spec = {"templateRef": {"name": template}} if template else {"template": {}}
        self.store.upsert(records.RUN, {"metadata": metadata, "spec": spec, "status": status})

    def start(self, name: str, template: str = "", servers: tuple[str, ...] = ()) -> None:
        """The run's start is on record."""
        used = [{"name": server, "url": "http://x"} for server in servers]
        self.record(name, {"phase": "Running", "admittedAt": "2026-01-02T03:04:05Z", "servers": used}, template)

    def end(self, name: str, template: str = "") -> None:
        self.record(name, {"phase": "Succeeded", "admittedAt": "2026-01-02T03:04:05Z"}, template)

    def have(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        """A template or a server is there, or has changed."""
        self.version += 1
        metadata = {"name": name, "namespace": "default", "uid": name, "resourceVersion": str(self.version)}
        self.store.upsert(kind, {"metadata": metadata, "spec": spec})

    def have_template(self, limit: int | None) -> None:
        concurrency = {} if limit is None else {"concurrency": {"maxRuns": limit}}
        tasks = [{"name": "a", "server": "time", "tool": "now"}]
        self.have(records.TEMPLATE, "nightly", {"tasks": tasks, **concurrency})

    def have_server(self, limit: int) -> None:
        self.have(records.SERVER, "time", {"stdio": {"command": "x"}, "maxConcurrentRuns": limit})

    @property
    def active(self) -> set[Key]:
        return {key for key in self.store.keys(records.RUN) if records.is_active(self.store.get(key))}


def test_a_candidate_gets_a_free_slot_at_once() -> None:
    cluster = Cluster(1)

    assert cluster.offer("a")
    assert (cluster.admission.taken(), cluster.woken) == (1, ["a"])
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
    assert cluster.offer("old", seconds=1)


@pytest.mark.parametrize("granted", [True, False])
def test_a_run_that_is_withdrawn_waits_no_more_and_gives_its_slot_to_the_next(granted: bool) -> None:
    cluster = Cluster(1)
    if not granted:
        cluster.offer("first")
    cluster.offer("gone")
    cluster.offer("next", seconds=1)

    cluster.admission.withdraw(a_key("gone"))

    assert cluster.offer("next", seconds=1) == granted
    assert (cluster.admission.taken(), cluster.admission.waiting()) == (1, 0 if granted else 1)


def test_a_run_that_has_its_places_needs_others_when_it_changes_before_they_are_on_record() -> None:
    cluster = Cluster(2)
    cluster.have_template(1)
    cluster.start("busy", "nightly")
    assert cluster.offer("a")

    # It was deleted and made anew, for example, or its template now calls another server.
    assert not cluster.offer("a", template="nightly")
    assert (cluster.admission.taken(), cluster.admission.waiting()) == (1, 1)
    cluster.end("busy", "nightly")
    assert cluster.offer("a", template="nightly")


def test_a_run_that_is_not_known_can_be_withdrawn() -> None:
    Cluster(1).admission.withdraw(a_key("nobody"))


def test_nobody_starts_where_the_limit_is_none() -> None:
    cluster = Cluster(0)

    assert not cluster.offer("a")
    assert cluster.woken == []


def test_a_limit_that_is_raised_starts_runs_at_once_and_one_that_is_lowered_stops_none() -> None:
    cluster = Cluster(1)
    for place, name in enumerate("abcd"):
        cluster.offer(name, place)
    cluster.start("a")

    cluster.admission.set_limits(Limits(max_concurrent_runs=3))
    assert cluster.woken == ["a", "b", "c"]
    cluster.start("b")
    cluster.start("c")
    cluster.admission.set_limits(Limits(max_concurrent_runs=1))
    cluster.end("a")
    cluster.end("b")

    assert cluster.woken == ["a", "b", "c"]
    assert cluster.admission.taken() == 1


def test_each_namespace_has_its_own_limit() -> None:
    cluster = Cluster(10, max_concurrent_runs_per_namespace=5, namespaces={"default": 1})

    assert cluster.offer("a")
    assert not cluster.offer("b")
    assert cluster.admission.obstacle(a_candidate("b")) == (Pool(RunReason.NAMESPACE_LIMIT, "default"), 1)
    assert cluster.admission.limit_of(Pool(RunReason.NAMESPACE_LIMIT, "other")) == 5


def test_a_template_and_a_server_have_limits_that_act_as_soon_as_they_change() -> None:
    cluster = Cluster(10)
    cluster.have_template(1)
    cluster.have_server(2)
    for place, name in enumerate("abcd"):
        cluster.offer(name, place, "nightly", ("time",))

    assert cluster.woken == ["a"]
    cluster.have_template(None)
    assert cluster.woken == ["a", "b"]
    cluster.have_server(3)
    assert cluster.woken == ["a", "b", "c"]
    cluster.start("a", "nightly", ("time",))
    cluster.end("a")
    assert cluster.woken == ["a", "b", "c", "d"]


def test_a_template_that_is_gone_has_no_limit_for_the_runs_that_are_left() -> None:
    cluster = Cluster(10)
    cluster.have_template(0)
    cluster.offer("a", template="nightly")
    assert cluster.woken == []

    cluster.store.delete(Key(records.TEMPLATE, "default", "nightly"), "nightly", "99")

    assert cluster.woken == ["a"]


def test_a_run_of_a_higher_priority_changes_its_place_in_the_queue() -> None:
    cluster = Cluster(0)
    cluster.offer("a")
    cluster.offer("b", seconds=1)

    cluster.admission.offer(a_key("b"), a_candidate("b", seconds=1)._replace(level=2))
    cluster.admission.set_limits(Limits(max_concurrent_runs=1))

    assert cluster.woken == ["b"]
    assert cluster.admission.waiting() == 1


def test_only_runs_at_the_head_of_the_queue_hear_that_their_reason_has_changed_and_only_once() -> None:
    cluster = Cluster(0)
    for place in range(EXPLAINED + 5):
        name = f"r{place:03}"
        cluster.offer(name, place)
        cluster.record(name, {"phase": "Queued", "waitingReason": "ClusterLimit"})
    cluster.admission.explain()
    assert cluster.woken == []

    cluster.admission.set_limits(Limits(max_concurrent_runs=0, max_concurrent_runs_per_namespace=0))
    cluster.admission.explain()
    assert cluster.woken == [f"r{place:03}" for place in range(EXPLAINED)]
    cluster.admission.explain()
    assert len(cluster.woken) == EXPLAINED


def test_one_slot_that_moves_concerns_nobody_behind_it() -> None:
    cluster = Cluster(1)
    names = [f"r{place:03}" for place in range(300)]
    for place, name in enumerate(names):
        cluster.offer(name, place)
        cluster.record(name, {"phase": "Queued", "waitingReason": "ClusterLimit"})
    for name in names[:20]:
        cluster.start(name)
        cluster.end(name)
        cluster.admission.explain()

    assert cluster.woken == names[:21]


NAMES = st.sampled_from("abcdefghijklmnop")


class Slots(RuleBasedStateMachine):
    """Whatever happens in whatever order, there are never more slots than the limit."""

    LIMIT = 2

    def __init__(self) -> None:
        super().__init__()
        self.cluster = Cluster(self.LIMIT)

    @rule(name=NAMES)
    def offer(self, name: str) -> None:
        if not self.cluster.store.get(a_key(name)):
            self.cluster.offer(name, ord(name))

    @rule(name=NAMES)
    def start(self, name: str) -> None:
        if not self.cluster.store.get(a_key(name)) and self.cluster.offer(name, ord(name)):
            self.cluster.start(name)

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        if a_key(name) in self.cluster.active:
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


def test_after_a_start_no_place_is_given_before_all_runs_were_looked_at() -> None:
    cluster = Cluster(limit=1)
    runs = ("late", "refused", "early")
    cluster.admission.wait_for(map(a_key, runs))
    assert not cluster.offer("late", seconds=9)
    cluster.admission.looked_at(a_key("late"))
    cluster.admission.withdraw(a_key("refused"))
    cluster.admission.looked_at(a_key("refused"))
    cluster.admission.looked_at(a_key("another"))
    assert not cluster.offer("early", seconds=1)
    assert cluster.woken == []
    cluster.admission.looked_at(a_key("early"))
    assert cluster.woken == ["early"]


async def test_nothing_is_queued_before_a_replica_leads_so_that_the_oldest_run_is_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """kopf and the sweep bring objects in the order of their names."""
    for name in ("ACTIVE_WORKFLOWS", "WAITING_WORKFLOWS"):
        monkeypatch.setattr(telemetry, name, Gauge(name, "", registry=None))
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
