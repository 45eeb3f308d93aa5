"""Elections among candidates over one fake API with optimistic locking, in virtual time and under random faults."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.cluster import virtual_time

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors, lease, resources

Object = dict[str, Any]
ELECTION_SECONDS = 200.0


@dataclass
class Leases:
    """The API server's side: one object, compare-and-swap by version."""

    stored: Object | None = None
    version: int = 0

    def get(self) -> Object:
        if self.stored is None:
            raise errors.NotFound("no such lease")
        return self.stored

    def create(self, body: Object) -> Object:
        if self.stored is not None:
            raise errors.AlreadyExists("taken")
        return self._store(body)

    def replace(self, body: Object) -> Object:
        if self.stored is None:
            raise errors.NotFound("no such lease")
        if body["metadata"]["resourceVersion"] != self.stored["metadata"]["resourceVersion"]:
            raise errors.Conflict("changed")
        return self._store(body)

    def _store(self, body: Object) -> Object:
        self.version += 1
        self.stored = {**body, "metadata": {**body["metadata"], "uid": "u", "resourceVersion": str(self.version)}}
        return self.stored

    @property
    def holder(self) -> str:
        holder: str = self.get()["spec"]["holderIdentity"]
        return holder


@dataclass
class Wire:
    """One candidate's way to the API server: slow, broken at times. What it sends may arrive after it gave up."""

    leases: Leases
    random: random.Random
    faults: float = 0.0
    slowness_seconds: float = 0.0
    cut: bool = False
    deaf: bool = False
    late: set[asyncio.Task[Object]] = field(default_factory=set)

    async def get(self, resource: resources.Resource, name: str, namespace: str = "") -> Object:
        return await self._send("get")

    async def create(self, resource: resources.Resource, body: Object) -> Object:
        return await self._send("create", body)

    async def replace(self, resource: resources.Resource, body: Object) -> Object:
        return await self._send("replace", body)

    async def _send(self, verb: str, *arguments: Object) -> Object:
        if self.cut or self.random.random() < self.faults:
            await asyncio.sleep(self.random.choice([0.0, 60.0]))  # refused, or never answered
            raise errors.Unavailable("broken", sent=False)
        answer = asyncio.create_task(self._carry_out(verb, *arguments))
        self.late.add(answer)
        result = await asyncio.shield(answer)
        if self.deaf or self.random.random() < self.faults:
            raise errors.Unavailable("broken on the way back")
        return result

    async def _carry_out(self, verb: str, *arguments: Object) -> Object:
        await asyncio.sleep(self.random.random() * self.slowness_seconds)
        try:
            result: Object = getattr(self.leases, verb)(*arguments)
        except errors.ApiError as error:
            await asyncio.sleep(self.random.random() * self.slowness_seconds)
            raise error
        await asyncio.sleep(self.random.random() * self.slowness_seconds)
        return result


def an_elector(wire: Wire, identity: str = "a", timing: lease.Timing | None = None) -> lease.Elector:
    loop = asyncio.get_running_loop()
    return lease.Elector(
        wire,
        namespace="system",
        name="operator",
        identity=identity,
        timing=timing,
        now=loop.time,
        random=wire.random.random,
    )


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, lease.LeadershipLost):
        await task


def a_wire(leases: Leases, **faults: Any) -> Wire:
    return Wire(leases, random.Random(1), **faults)  # noqa: S311 - a schedule, no secret


def test_the_first_candidate_leads_at_once_and_writes_a_lease_of_15_seconds() -> None:
    async def story() -> None:
        leases = Leases()
        elector = an_elector(a_wire(leases))
        with pytest.raises(errors.NotLeader):
            elector.check()
        task = asyncio.create_task(elector.run())
        await elector.leading.wait()
        elector.check()
        assert asyncio.get_running_loop().time() == 0
        spec = leases.get()["spec"]
        assert spec["holderIdentity"] == elector.holder
        assert elector.holder.startswith("a_")
        assert (spec["leaseDurationSeconds"], spec["leaseTransitions"]) == (15, 0)
        assert spec["acquireTime"] == spec["renewTime"]
        assert telemetry.OPERATOR.get_sample_value("leader_election_master_status", {"name": "operator"}) == 1
        await stop(task)
        assert telemetry.OPERATOR.get_sample_value("leader_election_master_status", {"name": "operator"}) == 0

    virtual_time.run(story())


def test_a_leader_that_stops_hands_over_within_three_seconds() -> None:
    async def story() -> None:
        leases = Leases()
        first, second = an_elector(a_wire(leases)), an_elector(a_wire(leases), "b")
        first_task = asyncio.create_task(first.run())
        await first.leading.wait()
        second_task = asyncio.create_task(second.run())
        await asyncio.sleep(60)
        assert first.is_leader
        assert not second.is_leader
        await stop(first_task)
        assert not first.is_leader
        stopped_at = asyncio.get_running_loop().time()
        await second.leading.wait()
        assert asyncio.get_running_loop().time() - stopped_at <= 3
        assert leases.get()["spec"]["leaseTransitions"] == 1
        await stop(second_task)

    virtual_time.run(story())


@pytest.mark.parametrize("identity", [pytest.param("b", id="another-pod"), pytest.param("a", id="restarted-container")])
def test_after_a_crash_the_lease_is_waited_out_even_under_the_same_name(identity: str) -> None:
    async def story() -> None:
        leases = Leases()
        crashed = a_wire(leases)
        first = asyncio.create_task(an_elector(crashed).run())
        await asyncio.sleep(7)
        crashed.cut = True
        second = an_elector(a_wire(leases), identity)
        second_task = asyncio.create_task(second.run())
        await second.leading.wait()
        assert 7 + 15 <= asyncio.get_running_loop().time() <= 7 + 15 + 3
        with pytest.raises(lease.LeadershipLost, match="in time"):
            await first
        await stop(second_task)

    virtual_time.run(story())


def test_a_leader_that_can_not_renew_closes_its_gate_after_ten_seconds_and_gives_up() -> None:
    async def story() -> None:
        wire = a_wire(Leases())
        elector = an_elector(wire)
        task = asyncio.create_task(elector.run())
        await elector.leading.wait()
        wire.cut = True
        await asyncio.sleep(9.9)
        elector.check()
        await asyncio.sleep(0.2)
        with pytest.raises(errors.NotLeader, match="does not hold the lease system/operator"):
            elector.check()
        with pytest.raises(lease.LeadershipLost):
            await task
        assert asyncio.get_running_loop().time() < 15

    virtual_time.run(story())


def test_a_leader_that_sees_another_holder_gives_up_at_once() -> None:
    async def story() -> None:
        leases = Leases()
        elector = an_elector(a_wire(leases))
        task = asyncio.create_task(elector.run())
        await elector.leading.wait()
        leases.replace({**leases.get(), "spec": {"holderIdentity": "thief"}})
        with pytest.raises(lease.LeadershipLost, match="thief"):
            await task
        assert not elector.is_leader
        assert asyncio.get_running_loop().time() < 3

    virtual_time.run(story())


def test_an_edited_or_deleted_lease_is_mended_by_its_holder_alone() -> None:
    async def story() -> None:
        leases = Leases()
        first, second = an_elector(a_wire(leases)), an_elector(a_wire(leases), "b")
        tasks = [asyncio.create_task(first.run())]
        await first.leading.wait()
        tasks.append(asyncio.create_task(second.run()))
        await asyncio.sleep(5)
        edited = {**leases.get(), "metadata": {**leases.get()["metadata"], "labels": {"edited": "yes"}}}
        leases.replace(edited)
        await asyncio.sleep(30)
        assert leases.get()["metadata"]["labels"] == {"edited": "yes"}
        leases.stored = None
        await asyncio.sleep(30)
        assert leases.holder == first.holder
        assert first.is_leader
        assert not second.leading.is_set()
        for task in tasks:
            await stop(task)

    virtual_time.run(story())


def test_a_renewal_that_got_through_unheard_is_recognised() -> None:
    async def story() -> None:
        leases = Leases()
        wire = a_wire(leases)
        elector = an_elector(wire)
        task = asyncio.create_task(elector.run())
        await elector.leading.wait()
        for _ in range(10):
            wire.deaf = True
            before = leases.version
            await asyncio.sleep(3)
            assert leases.version > before
            wire.deaf = False
            await asyncio.sleep(6)
            assert elector.is_leader
        await stop(task)
        assert leases.holder == ""

    virtual_time.run(story())


def test_an_election_that_stands_still_fails_its_liveness_check() -> None:
    async def story() -> None:
        elector = an_elector(a_wire(Leases()))
        assert elector.alive() is None
        await asyncio.sleep(61)
        assert elector.alive() == "the election has stood still for 61 s"
        task = asyncio.create_task(elector.run())
        await asyncio.sleep(600)
        assert elector.alive() is None
        await stop(task)

    virtual_time.run(story())


@dataclass
class Watcher:
    """Looks for two open gates, and for a write that lands when another leader may already write."""

    electors: dict[lease.Elector, None] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    led: int = 0

    def look(self) -> None:
        leaders = [elector.holder for elector in self.electors if elector.is_leader]
        self.led += bool(leaders)
        if len(leaders) > 1:
            self.problems.append(f"two open gates at {asyncio.get_running_loop().time()}: {leaders}")

    async def watch(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(0.25)

    async def write(self, elector: lease.Elector, chance: random.Random) -> None:
        """Writes that pass the gate and take up to 5 s to land."""
        while True:
            await asyncio.sleep(chance.random() * 3)
            if elector.is_leader:
                await asyncio.sleep(chance.choice([0.0, chance.random() * 5, 4.99]))
                if any(other.is_leader for other in self.electors if other is not elector):
                    self.problems.append(f"a late write of {elector.holder}")


async def a_random_election(chance: random.Random, faults: float) -> Watcher:
    leases, watcher = Leases(), Watcher()
    watching = asyncio.create_task(watcher.watch())
    await asyncio.gather(*(a_replica(name, leases, watcher, chance, faults) for name in ("a", "b", "b")))
    watching.cancel()
    return watcher


async def a_replica(name: str, leases: Leases, watcher: Watcher, chance: random.Random, faults: float) -> None:
    """A pod: runs the operator, which stops, crashes, is cut off or loses its lease, and starts again."""
    while asyncio.get_running_loop().time() < ELECTION_SECONDS:
        await asyncio.sleep(chance.random() * 10)
        wire = Wire(leases, chance, faults * chance.random(), chance.choice([0.0, 0.5, 8.0]))
        elector = an_elector(wire, name)
        watcher.electors[elector] = None
        writer = asyncio.create_task(watcher.write(elector, chance))
        task = asyncio.create_task(elector.run())
        try:
            await asyncio.wait([task], timeout=chance.random() * 60)
            wire.cut = chance.random() < 0.5  # crashed or cut off: nothing is given back
            await asyncio.wait([task], timeout=chance.choice([0.0, 20.0]))
            writer.cancel()  # work ends before the lease is given back
            await stop(task)
        finally:
            writer.cancel()
            del watcher.electors[elector]
            await asyncio.gather(*wire.late, return_exceptions=True)


@settings(max_examples=25, deadline=None)
@given(chance=st.randoms(use_true_random=True), faults=st.sampled_from([0.0, 0.2, 0.6]))
def test_there_are_never_two_open_gates_nor_late_writes(chance: random.Random, faults: float) -> None:
    watcher = virtual_time.run(a_random_election(chance, faults))
    assert watcher.problems == []
    assert faults or watcher.led


def test_the_watcher_sees_two_leaders_where_the_deadline_outlives_the_lease() -> None:
    async def story() -> list[str]:
        leases, watcher = Leases(), Watcher()
        careless, wire = lease.Timing(deadline_seconds=60.0), a_wire(leases)
        first, second = an_elector(wire, "a", careless), an_elector(a_wire(leases), "b", careless)
        watcher.electors = {first: None, second: None}
        tasks = [asyncio.create_task(first.run())]
        await first.leading.wait()
        tasks += [asyncio.create_task(watcher.write(first, wire.random)), asyncio.create_task(second.run())]
        wire.cut = True
        await second.leading.wait()
        watcher.look()
        await asyncio.sleep(10)
        for task in tasks:
            await stop(task)
        return watcher.problems

    problems = virtual_time.run(story())
    assert any("two open gates" in problem for problem in problems)
    assert any("late write" in problem for problem in problems)
