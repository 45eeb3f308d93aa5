"""What the real kstatus library makes of a run in each phase, and that its port in tests/oracles says the same."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from console.progress import Progress
from localcluster import build, state
from mcp_orchestrator.planning.runs.observed import ObservedRun
from tests import cluster
from tests.builders import a_run, a_server, around
from tests.oracles import kstatus
from tests.oracles.kstatus import Verdict
from tests.unit.planning.runs.test_control import suspended, told
from tests.unit.planning.runs.test_decision import (
    ACTIVE,
    QUEUED,
    READY,
    TEMPLATE,
    admitted,
    applied,
    ended,
    plan,
    reported,
)

Json = dict[str, Any]
SOURCES = cluster.ROOT / "tests" / "oracles" / "kstatus-cli"


@pytest.fixture(scope="module")
def library() -> Path:
    """A program around sigs.k8s.io/cli-utils, compiled once."""
    return build.program(state.home(None), SOURCES, Progress())


def verdicts(library: Path, objects: Sequence[Json]) -> list[Verdict]:
    """The library's word on each object."""
    given = "".join(json.dumps({"apiVersion": "a/v1", "kind": "Any"} | body) + "\n" for body in objects)
    done = subprocess.run([str(library)], input=given, capture_output=True, text=True, check=True)
    return [Verdict(line) for line in done.stdout.splitlines()]


def seen(observed: ObservedRun) -> Json:
    """The run after the operator has had its say."""
    run = applied(observed.run, plan(observed))
    return {"metadata": {"name": "run", "generation": run.metadata.generation}, "status": run.status.wire()}


RUNNING = reported(admitted())
GONE = around(TEMPLATE, {"time": a_server(ready=False)})
PHASES = {
    "created, not seen by the operator": (
        {"metadata": {"generation": 1}, "status": {"observedGeneration": -1}},
        Verdict.IN_PROGRESS,
    ),
    "Pending: waits for a server": (seen(replace(READY, around=GONE)), Verdict.IN_PROGRESS),
    "Queued": (seen(QUEUED), Verdict.IN_PROGRESS),
    "Suspended before its start": (seen(replace(READY, run=a_run(suspend=True))), Verdict.IN_PROGRESS),
    "Running: its pod starts": (seen(replace(READY, slot=True)), Verdict.IN_PROGRESS),
    "Running: to be suspended, not seen yet": (
        {"metadata": {"generation": 2}, "status": RUNNING.status.wire()},
        Verdict.IN_PROGRESS,
    ),
    "Running: to be suspended": (seen(ObservedRun(told(RUNNING, suspend=True), job=ACTIVE)), Verdict.IN_PROGRESS),
    "Running: to be cancelled": (seen(ObservedRun(told(RUNNING, cancel="Graceful"), job=ACTIVE)), Verdict.IN_PROGRESS),
    "Running: its pod was lost": (seen(ObservedRun(RUNNING, job=ended())), Verdict.IN_PROGRESS),
    "Suspended in its middle": (
        {"metadata": {"generation": 2}, "status": suspended().status.wire()},
        Verdict.IN_PROGRESS,
    ),
    "Succeeded": (
        seen(ObservedRun(reported(RUNNING, outcome="Succeeded", reason="Succeeded", message="fine"))),
        Verdict.CURRENT,
    ),
    "Failed": (
        seen(ObservedRun(reported(RUNNING, outcome="Failed", reason="TaskFailed", message="no"))),
        Verdict.FAILED,
    ),
    "Cancelled": (
        seen(ObservedRun(reported(RUNNING, outcome="Cancelled", reason="Cancelled", message="stopped"))),
        Verdict.FAILED,
    ),
    "Cancelled before its start": (seen(replace(READY, run=a_run(cancel="Graceful"))), Verdict.FAILED),
    "being deleted": (
        {"metadata": {"generation": 1, "deletionTimestamp": "2026-01-02T03:04:05Z"}, "status": RUNNING.status.wire()},
        Verdict.TERMINATING,
    ),
}


def test_the_library_says_of_each_phase_of_a_run_what_helm_and_flux_need_to_hear(library: Path) -> None:
    found = dict(zip(PHASES, verdicts(library, [body for body, _ in PHASES.values()]), strict=True))

    assert found == {phase: expected for phase, (_, expected) in PHASES.items()}


def test_the_port_says_what_the_library_says(library: Path) -> None:
    holding = (None, "True", "False", "Unknown")
    objects = [
        {
            "metadata": {"generation": 1},
            "status": ({} if seen_ is None else {"observedGeneration": seen_})
            | {"conditions": [{"type": name, "status": value} for name, value in held.items() if value]},
        }
        for seen_ in (None, -1, 1)
        for values in itertools.product(holding, repeat=3)
        if (held := dict(zip(("Reconciling", "Stalled", "Ready"), values, strict=True))) is not None
    ]

    assert [kstatus.verdict(body) for body in objects] == verdicts(library, objects)
