"""What is measured: each scenario sets its stage, loads it, and returns its figures. Called by the command."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.load import controls, figures, processes, workload
from bench.load.checks import Moment, Step
from bench.load.stage import OPERATOR, Process, Stage
from mcp_orchestrator.cluster import resources

Json = dict[str, Any]
SETTLE_SECONDS = 3.0
REST_PERCENT = 2.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much load."""

    drain: int = 1000
    rate: float = 10
    rate_seconds: float = 60
    queued: int = 300
    ladder: tuple[int, ...] = (1000, 5000, 10000)
    moving_seconds: float = 20
    idle: int = 200


QUICK = Sizes(drain=200, rate=5, rate_seconds=10, queued=60, ladder=(100, 500), moving_seconds=8, idle=40)


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure may be."""

    figure: str
    limit: float
    at_most: bool = True

    def holds(self, value: float) -> bool:
        """Whether a value is within it."""
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load and what it is about."""

    about: str
    play: Callable[[Stage, Sizes], Awaitable[Json]]
    budgets: tuple[Budget, ...] = field(default=())


def names(prefix: str, count: int, first: int = 0) -> list[str]:
    """Names of runs."""
    return [f"{prefix}-{number:05}" for number in range(first, first + count)]


async def drain(stage: Stage, sizes: Sizes) -> Json:
    """All runs queue at a limit of 0, which is then raised for all. The time counts from the first Job to the last."""
    runs = sizes.drain
    async with stage.operator(limit=0) as process:
        await stage.submit(names("drain", runs))
        await stage.until(Step.QUEUED, runs)
        earlier = await controls.rates(stage.client, f"{stage.namespace}-before", runs // 4)
        stage.set_limit(runs)
        cpu = await cpu_until_started(stage, process, runs)
        used = processes.usage(process.pid)
    rate = figures.per_second([moment.at for moment in stage.ledger.first[Step.STARTED].values()])
    later = await controls.rates(stage.client, f"{stage.namespace}-after", runs // 4)
    control = {name: round((earlier[name] + later[name]) / 2, 2) for name in earlier}
    return {
        "runs": runs,
        "runsPerSecond": round(rate, 1),
        **control,
        "ratioToBareAdmissions": round(rate / control["bareAdmissionsPerSecond"], 2),
        "cpuRatioToBareAdmissions": round(cpu["operator"] / control["bareCpuMillisecondsPerRun"], 2),
        "cpuMillisecondsPerRun": cpu,
        "operatorMiB": used.resident_mib,
    }


async def cpu_until_started(stage: Stage, process: Process, runs: int) -> dict[str, float]:
    """Milliseconds of CPU time that the operator and each part of the cluster take for a run, until all have a Job."""
    await stage.until(Step.ADMITTED, 1)
    watched = {"operator": process.pid, **stage.cluster.processes}
    before = {name: processes.usage(pid).cpu_seconds for name, pid in watched.items()}
    missing = runs - len(stage.ledger.first[Step.STARTED])
    await stage.until(Step.STARTED, runs)
    after = {name: processes.usage(pid).cpu_seconds for name, pid in watched.items()}
    return {name: round(1000 * (after[name] - before[name]) / max(1, missing), 2) for name in watched}


async def rate(stage: Stage, sizes: Sizes) -> Json:
    """Runs come at a steady rate, find a slot each, and take a second."""
    runs = round(sizes.rate * sizes.rate_seconds)
    async with stage.operator(limit=runs) as process, stage.runners(1.0):
        before = processes.usage(process.pid)
        await stage.submit(names("rate", runs), per_second=sizes.rate)
        await stage.until(Step.ENDED, runs)
        after = processes.usage(process.pid)
    return {
        "runs": runs,
        "runsPerSecond": sizes.rate,
        "submitToAdmittedMs": figures.milliseconds(since_submit(stage, Step.ADMITTED)),
        "submitToJobMs": figures.milliseconds(since_submit(stage, Step.STARTED)),
        "submitToFinishedMs": figures.milliseconds(since_submit(stage, Step.ENDED)),
        "reportToFinishedMs": figures.milliseconds(since_report(stage)),
        "operatorCpuPercent": after.cpu_percent_since(before),
        "operatorMiB": after.resident_mib,
        **per_run(stage, runs),
    }


async def calls(stage: Stage, sizes: Sizes) -> Json:
    """All runs come at once and queue for few slots, so that each is written its whole life."""
    runs = sizes.queued
    async with stage.operator(limit=max(5, runs // 15)), stage.runners(0.2):
        await stage.submit(names("calls", runs))
        await stage.until(Step.ENDED, runs)
        await asyncio.sleep(SETTLE_SECONDS)
    return {"runs": runs, "queued": len(stage.ledger.first[Step.QUEUED]), **per_run(stage, runs)}


async def waiting(stage: Stage, sizes: Sizes) -> Json:
    """More and more runs queue behind one slot; then that slot moves, and then the operator starts again."""
    rows: list[Json] = []
    result: Json = {"queuedRuns": rows}
    async with stage.operator(limit=1) as process:
        await row(rows, process, 0)
        for count in sizes.ladder:
            await queue_up(stage, count)
            await row(rows, process, count)
            if count == sizes.ladder[len(sizes.ladder) // 2]:
                result["oneSlotMoves"] = await one_slot_moves(stage, sizes)
    result["kibPerRun"] = figures.kib_per_run(rows)
    result["otherRunsWritten"] = result["oneSlotMoves"]["otherRunsWritten"]
    result |= await restart(stage, sizes)
    return result


async def queue_up(stage: Stage, count: int) -> None:
    """Have so many runs there, all seen by the operator."""
    there = len(stage.priorities)
    await stage.submit(names("wait", count - there, first=there))
    # The first one found the slot free, and did not queue.
    await stage.until_true(lambda: len(seen(stage)) >= count, f"{count} runs were seen")


def seen(stage: Stage) -> set[str]:
    """The runs that the operator has written to."""
    first = stage.ledger.first
    return first[Step.QUEUED].keys() | first[Step.ADMITTED].keys()


async def one_slot_moves(stage: Stage, sizes: Sizes) -> Json:
    """Runners work for a while, one run after the other; whom does the operator write to?"""
    stage.look()
    place = len(stage.ledger.calls)
    async with stage.runners(0.2):
        await asyncio.sleep(sizes.moving_seconds)
    await asyncio.sleep(SETTLE_SECONDS)
    stage.look()
    wrote = [call for call in stage.ledger.calls[place:] if call.agent == OPERATOR and call.is_write]
    moved = stage.ledger.first[Step.ADMITTED].keys()
    others = [call for call in wrote if call.resource == "workflowruns/status" and call.name not in moved]
    ended = len(stage.ledger.first[Step.ENDED])
    return {"seconds": sizes.moving_seconds, "runsEnded": ended, "otherRunsWritten": len(others)}


async def restart(stage: Stage, sizes: Sizes) -> Json:
    """Start with all runs there and one slot more than before: when is it given?"""
    stage.look()
    admitted = len(stage.ledger.first[Step.ADMITTED])
    began = time.time()
    async with stage.operator(limit=2) as process:
        await stage.until(Step.ADMITTED, admitted + 1)
        first = max(moment.at for moment in stage.ledger.first[Step.ADMITTED].values())
        await asyncio.sleep(SETTLE_SECONDS)
        used = processes.usage(process.pid)
    return {
        "restartRuns": sizes.ladder[-1],
        "restartToFirstDecisionSeconds": round(first - began, 2),
        "restartMiB": used.resident_mib,
    }


async def finished(stage: Stage, sizes: Sizes) -> Json:
    """One run ends; its like, and their Jobs, then fill the cluster."""
    async with stage.operator(limit=1), stage.runners(0.1):
        await stage.submit(names("finished", 1))
        await stage.until(Step.ENDED, 1)
    example = await stage.client.get(resources.WORKFLOW_RUNS, names("finished", 1)[0], stage.namespace)
    rows: list[Json] = []
    there = 1
    for count in (0, *sizes.ladder):
        missing = names("finished", max(0, count - there), first=there)
        await workload.finished(stage.client, stage.namespace, missing, example)
        there += len(missing)
        async with stage.operator(limit=1) as process:
            await row(rows, process, count)
    return {"finishedRuns": rows, "kibPerRun": figures.kib_per_run(rows)}


async def idle(stage: Stage, sizes: Sizes) -> Json:
    """Runs come now and then, and nothing else is to do."""
    runs = sizes.idle
    async with stage.operator(limit=runs):
        await stage.submit(names("idle", runs), per_second=5)
        await stage.until(Step.STARTED, runs)
    found = figures.milliseconds(since_submit(stage, Step.STARTED))
    return {"runs": runs, "submitToJobMs": found, "submitToJobP99Ms": found["p99"]}


async def row(rows: list[Json], process: Process, count: int) -> None:
    """Note what the operator takes while nothing happens, and how long it takes until then."""
    began = before = processes.usage(process.pid)
    while (busy := (after := await later(process, SETTLE_SECONDS)).cpu_percent_since(before)) > REST_PERCENT:
        before = after
    rows.append(
        {
            "runs": count,
            "MiB": after.resident_mib,
            "cpuPercent": busy,
            "cpuSecondsToRest": round(before.cpu_seconds - began.cpu_seconds, 1),
        }
    )


async def later(process: Process, seconds: float) -> processes.Usage:
    """What the process has used in a while."""
    await asyncio.sleep(seconds)
    return processes.usage(process.pid)


def since_submit(stage: Stage, step: Step) -> list[float]:
    """Seconds from the moment at which a run was asked for to that at which a step of it was done."""
    return durations(submitted(stage), list(stage.ledger.first[step].values()))


def submitted(stage: Stage) -> Mapping[str, float]:
    """The moments at which the runs were asked for."""
    return {
        call.name: call.received
        for call in stage.ledger.calls
        if (call.verb, call.resource, call.agent) == ("create", "workflowruns", "bench")
    }


def since_report(stage: Stage) -> list[float]:
    """Seconds from a runner's last word to the run's end on record."""
    reported = {
        call.name: call.received
        for call in stage.ledger.calls
        if call.agent == "bench-runner" and call.body.get("status", {}).get("runner", {}).get("outcome")
    }
    return durations(reported, list(stage.ledger.first[Step.ENDED].values()))


def durations(began: Mapping[str, float], steps: Sequence[Moment]) -> list[float]:
    """Seconds from one to the other, of the runs that have both."""
    return [moment.answered - began[moment.run] for moment in steps if moment.run in began]


def per_run(stage: Stage, runs: int) -> Json:
    """What the operator asked of the API server for each run, from the first run on."""
    first = min(submitted(stage).values())
    asked = [call for call in stage.ledger.calls if call.received >= first]
    return {
        "writesPerRun": figures.writes_per_run(asked, OPERATOR, runs),
        "callsPerRun": figures.calls_per_run(asked, OPERATOR, runs),
    }


SCENARIOS: Mapping[str, Scenario] = {
    "drain": Scenario("queued runs into Jobs", drain, (Budget("runsPerSecond", 200, at_most=False),)),
    "rate": Scenario("a steady rate", rate, (Budget("writesPerRun", 4),)),
    "calls": Scenario("calls of a run that queued", calls, (Budget("writesPerRun", 4),)),
    "waiting": Scenario(
        "queued runs: memory, cost, restart",
        waiting,
        (
            Budget("kibPerRun", 4),
            Budget("otherRunsWritten", 0),
            Budget("restartToFirstDecisionSeconds", 15),
        ),
    ),
    "finished": Scenario("ended runs: memory", finished, (Budget("kibPerRun", 4),)),
    "idle": Scenario("submit to Job, idle", idle, (Budget("submitToJobP99Ms", 150),)),
}
