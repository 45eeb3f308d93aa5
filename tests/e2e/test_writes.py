"""What the operator writes, by the API server's own audit log: a run costs a known number, and an idle cluster none."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tests.e2e import release
from tests.e2e.release import Audit, Write
from tests.e2e.space import Space, eventually
from tests.objects import a_run, a_server, a_template

HEALTH_SECONDS = 5
RENEWALS = 8
"""The leader renews its Lease every 2 s. So many times are three looks at the server, and nobody has to sleep."""


@pytest.fixture(scope="module")
def clock(space: Space) -> Space:
    """A server and a template, and one run that has ended: the first in a namespace makes the runners' account."""
    stdio = a_server()["spec"]["stdio"]
    space.apply(a_server(stdio=stdio, healthCheck={"intervalSeconds": HEALTH_SECONDS}), a_template(), a_run("first"))
    space.succeed("first")
    return space


def of_run(writes: list[Write], name: str) -> list[Write]:
    """Those for a run, its Job and its Events."""
    return [write for write in writes if write.name.rpartition("/")[2].startswith(name)]


def test_a_run_costs_three_writes_and_two_events(clock: Space) -> None:
    audit = Audit(clock)
    began = time.monotonic()
    clock.apply(a_run("counted"))
    clock.wait("mrun/counted", "Finished")
    seconds = time.monotonic() - began
    clock.succeed("counted")

    def events_are_there() -> bool:
        return len(clock.events("WorkflowRun", "counted")) >= 2

    eventually("the last event", events_are_there)
    operator = of_run(audit.writes(release.USER), "counted")
    runner = of_run(audit.writes(release.RUNNER), "counted")
    print(f"\nkubectl apply to Finished: {seconds:.2f} s")
    print("operator", *operator, "runner", *runner, sep="\n  ")
    assert Counter((write.verb, write.resource, write.code) for write in operator) == {
        ("patch", "workflowruns/status", 200): 2,
        ("create", "jobs", 201): 1,
        ("create", "events", 201): 2,
    }
    assert all(write.code == 200 for write in runner)
    assert len(runner) <= 3


def test_an_idle_operator_writes_nothing_but_its_lease(clock: Space) -> None:
    """Only where nobody else is at work: in the namespaces of this test and of the operator."""
    audit, idle = Audit(clock), (f"{clock.namespace}/", f"{release.NAMESPACE}/")

    def writes() -> list[Write]:
        return [write for write in audit.writes(release.USER) if write.name.startswith(idle)]

    eventually("the time without work", lambda: len(writes()) >= RENEWALS)
    assert {(write.resource, write.verb) for write in writes()} == {("leases", "update")}
