"""Whether the operator kept its promises at every moment of a load: its limit, and the order of its queue.

All that is judged is what the API server saw, in the order in which it came in. The operator takes a slot by the status
that admits a run, and gives it back by the status that ends it: the next admission follows from the answer to that one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum

from bench.load.audit import Call
from mcp_orchestrator.api.control import Priority
from mcp_orchestrator.api.workflowrunstatus import FINAL_PHASES, RunPhase

NEWS_SECONDS = 1.0
"""How long the operator may take to hear of a run."""


class Step(IntEnum):
    """What happened to a run. Of two that come in at once, the earlier one here counts first."""

    ENDED = 0
    QUEUED = 1
    ADMITTED = 2
    STARTED = 3


@dataclass(frozen=True, slots=True, order=True)
class Moment:
    """A step of a run, at the moment at which the API server was asked for it."""

    at: float
    step: Step
    run: str
    answered: float
    decided: float
    """When the operator decided it, by its own word; the same as `at` if it does not say."""


@dataclass(frozen=True, slots=True)
class Limit:
    """So many runs may hold a slot, from that moment on."""

    since: float
    runs: int


class Ledger:
    """The steps that an operator took and the API server accepted. A step that is repeated counts once."""

    def __init__(self, agent: str) -> None:
        self.calls: list[Call] = []
        self.first: dict[Step, dict[str, Moment]] = {step: {} for step in Step}
        """The moment at which each run first took each step."""
        self._agent = agent
        self._jobs: dict[str, str] = {}

    def take(self, calls: Iterable[Call]) -> None:
        """Take note of requests, which come in the order of their answers."""
        for call in calls:
            self.calls.append(call)
            if call.agent == self._agent and 200 <= call.code < 300:
                for step, run in self._steps(call):
                    decided = _decided(call) if step == Step.ADMITTED else call.received
                    self.first[step].setdefault(run, Moment(call.received, step, run, call.answered, decided))

    def steps(self) -> list[Moment]:
        """All steps, in the order in which they came in."""
        return sorted(moment for moments in self.first.values() for moment in moments.values())

    def _steps(self, call: Call) -> Iterator[tuple[Step, str]]:
        if call.resource == "jobs" and call.verb == "create":
            yield Step.STARTED, self._jobs.get(call.name, call.name)
        if call.resource != "workflowruns/status":
            return
        status = call.body.get("status", {})
        if "jobName" in status:
            self._jobs[status["jobName"]] = call.name
        if "admittedAt" in status:
            yield Step.ADMITTED, call.name
        if status.get("phase") == RunPhase.QUEUED:
            yield Step.QUEUED, call.name
        if status.get("phase") in FINAL_PHASES:
            yield Step.ENDED, call.name


def over_limit(steps: Sequence[Moment], limits: Sequence[Limit]) -> list[str]:
    """Each admission that took a slot that was not there."""
    active: set[str] = set()
    wrong = []
    for moment in steps:
        if moment.step == Step.ENDED:
            active.discard(moment.run)
        elif moment.step == Step.ADMITTED:
            active.add(moment.run)
            allowed = _limit_at(limits, moment.at)
            if len(active) > allowed:
                wrong.append(f"{moment.run} was admitted as number {len(active)} where {allowed} may run")
    return wrong


def overtaken(
    steps: Sequence[Moment],
    limits: Sequence[Limit],
    priorities: Mapping[str, Priority],
    news_seconds: float = NEWS_SECONDS,
) -> list[str]:
    """Each admission that took the slot of a run with a higher priority.

    A run waits from the status that says so. Where there are slots for all that wait with a higher priority, it does
    not matter in which order the admissions are written.
    """
    active: set[str] = set()
    waiting: dict[str, float] = {}
    wrong = []
    for moment in steps:
        if moment.step == Step.ENDED:
            active.discard(moment.run)
            waiting.pop(moment.run, None)
        elif moment.step == Step.QUEUED:
            waiting[moment.run] = moment.at
        elif moment.step == Step.ADMITTED:
            waiting.pop(moment.run, None)
            free = _limit_at(limits, moment.at) - len(active)
            active.add(moment.run)
            level = _level(priorities, moment.run)
            latest = moment.decided - news_seconds
            before = [run for run, since in waiting.items() if since <= latest and _level(priorities, run) > level]
            if before and len(before) >= free:
                wrong.append(f"{moment.run} was admitted before {', '.join(before[:3])}, of a higher priority")
    return wrong


def unannounced(steps: Sequence[Moment]) -> list[str]:
    """Each Job that was created without the status that admits its run."""
    admitted: set[str] = set()
    wrong = []
    for moment in steps:
        if moment.step == Step.ADMITTED:
            admitted.add(moment.run)
        elif moment.step == Step.STARTED and moment.run not in admitted:
            wrong.append(f"the Job of {moment.run} was created before the run was admitted")
    return wrong


def _decided(call: Call) -> float:
    return datetime.fromisoformat(call.body["status"]["admittedAt"]).timestamp()


def _limit_at(limits: Sequence[Limit], at: float) -> int:
    return next((limit.runs for limit in reversed(limits) if limit.since <= at), 0)


def _level(priorities: Mapping[str, Priority], run: str) -> int:
    return priorities.get(run, Priority.MEDIUM).level
