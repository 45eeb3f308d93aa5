"""The leader is killed while a run is under way: the run ends as if nothing had happened, and another replica leads."""

from __future__ import annotations

import json

import pytest

from tests.e2e import release
from tests.e2e.release import Release
from tests.e2e.servers import by_stdio, hold, let_go, the_programs
from tests.e2e.space import PATIENCE_SECONDS, Space, eventually
from tests.objects import a_run


@pytest.fixture(scope="module")
def orphaned(space: Space, operator: Release) -> tuple[Space, str]:
    """Two runs, one under way until the leader is killed and one made just after; and the leader's name."""
    space.apply(the_programs(), by_stdio())
    space.wait("msrv/program", "Ready")
    space.apply(a_run("under-way", template={"tasks": [hold("work")]}))
    space.wait_for("mrun/under-way", "{.status.tasks[0].phase}", "Running")
    killed = operator.leader()
    operator.space.kubectl("delete", "pod", killed, "--grace-period=0", "--force", "--wait=false")
    space.apply(a_run("made-meanwhile", template={"tasks": [hold("work")]}))
    let_go(space)
    return space, killed


@pytest.mark.parametrize("run", ["under-way", "made-meanwhile"])
def test_a_run_ends_well_with_exactly_one_job(orphaned: tuple[Space, str], run: str) -> None:
    space, _ = orphaned
    assert space.succeed(run)["status"]["attempt"] == 1
    assert len(space.children("jobs", run)) == 1
    assert len(space.children("pods", run)) == 1
    events = eventually("the event of the end", lambda: _reasons(space, run, "Succeeded"))
    assert events.count("Succeeded") == 1
    assert events.count("Admitted") <= 1  # the one that was killed may have taken that word with it


def _reasons(space: Space, run: str, last: str) -> list[str]:
    reasons = [event["reason"] for event in space.events("WorkflowRun", run)]
    return reasons if last in reasons else []


def test_another_replica_leads(orphaned: tuple[Space, str], operator: Release) -> None:
    _, killed = orphaned
    leader = eventually("another leader", lambda: operator.leader() not in ("", killed) and operator.leader())
    assert leader in {pod["metadata"]["name"] for pod in operator.pods()}
    assert "[+]lease ok" in operator.get("/livez")
    operator.space.kubectl("rollout", "status", f"deployment/{release.NAME}", f"--timeout={PATIENCE_SECONDS}s")


def test_the_operators_log_is_json_lines_without_stack_traces(orphaned: tuple[Space, str], operator: Release) -> None:
    lines = operator.log_lines()
    assert lines
    for line in lines:
        assert {"time", "level", "logger", "message"} <= json.loads(line).keys()
        assert "Traceback" not in line
        assert json.loads(line)["level"] in ("INFO", "WARNING"), line
