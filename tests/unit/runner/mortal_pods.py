"""Runs that are suspended, and whose pods die or are cut off, at any moment.

The parts of a runner are the real ones, from fence to last report. What a pod's calls did outlasts it, in the `Server`;
what it reported does, in the `FakeStatus`.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import orjson
from tests.unit.cluster import virtual_time
from tests.unit.runner import fake_status
from tests.unit.runner.fake_status import FakeStatus
from tests.unit.runner.scripted_tools import START, servers

from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.taskstatus import TaskPhase
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.cluster.resources import WORKFLOW_RUNS
from mcp_orchestrator.runner import fence
from mcp_orchestrator.runner.callfailed import CallFailed
from mcp_orchestrator.runner.calls.toolcall import Call
from mcp_orchestrator.runner.control.stop import Stop, Stopped
from mcp_orchestrator.runner.control.watching import Watcher
from mcp_orchestrator.runner.engine import execute
from mcp_orchestrator.runner.engine.execute import Surroundings
from mcp_orchestrator.runner.reports.applying import Applier, RunLost, Target
from mcp_orchestrator.runner.reports.journal import Journal
from mcp_orchestrator.runner.reports.reporting import Identity, Report
from mcp_orchestrator.runner.results import recorded
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs

T = TypeVar("T")
UNSAFE = "write"
LARGE_BYTES = 40 * 1024
"""More than stands in the status."""


@dataclass
class Server:
    """Tools with effects that outlast every process; what each unit's call does follows from its name alone."""

    seconds: Mapping[str, int]
    fails: frozenset[str] = frozenset()
    early: frozenset[str] = frozenset()
    """Tasks whose calls have their effect as soon as they arrive, not when they are answered."""
    large: frozenset[str] = frozenset()
    """Tasks with results that don't fit into the status."""
    talks: frozenset[str] = frozenset()
    """Tasks that are answered by JSON as text, which stays on record as it is."""
    busy: frozenset[str] = frozenset()
    """Tasks whose first call, of each unit, is turned away."""
    effects: Counter[str] = field(default_factory=Counter)
    turned_away: set[str] = field(default_factory=set)

    def copy(self) -> Server:
        """The same server before any call."""
        return replace(self, effects=Counter(), turned_away=set())

    async def call(self, call: Call) -> Answer:
        task = call.unit.split("[")[0]
        if task in self.busy and call.unit not in self.turned_away:
            await asyncio.sleep(self.seconds.get(task, 1) / 2)
            self.turned_away.add(call.unit)
            raise CallFailed(ErrorClass.BUSY, "not now", never_sent=True)
        if task in self.early:
            self.effects[call.unit] += 1
        await asyncio.sleep(self.seconds.get(task, 1))
        if task not in self.early:
            self.effects[call.unit] += 1
        if task in self.fails:
            raise CallFailed(ErrorClass.TOOL, f"{call.unit} says no")
        given = hashlib.sha256(orjson.dumps(call.arguments)).hexdigest()
        result = {"unit": call.unit, "given": given, "more": "x" * LARGE_BYTES * (task in self.large)}
        return Answer.said(json.dumps(result)) if task in self.talks else Answer.of(result)


@dataclass(frozen=True, slots=True)
class Break:
    """When a pod is cut off: at its write of that number, before or after it is carried out; or after some time."""

    write: int = 0
    carried_out: bool = False
    seconds: float | None = None


NEVER = Break()


@dataclass(frozen=True, slots=True)
class Suspension:
    """When a run is suspended in the life of a pod, and how long after that this is taken back, if it is."""

    seconds: float
    back_after: float | None = None


@dataclass
class Line:
    """A pod's way to the API server. Once broken, it lets nothing through until it is mended.

    That of a pod that died is never mended.
    """

    status: FakeStatus
    breaks: Break = NEVER
    writes: int = 0
    broken: asyncio.Event = field(default_factory=asyncio.Event)
    mended: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, *arguments: Any) -> dict[str, Any]:
        await self._open()
        return await self.status.get(*arguments)

    async def create(self, *arguments: Any) -> dict[str, Any]:
        return await self._write(functools.partial(self.status.create, *arguments))

    async def apply_status(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        return await self._write(functools.partial(self.status.apply_status, *arguments, **options))

    async def _write(self, write: Callable[[], Awaitable[T]]) -> T:
        self.writes += 1
        fatal = self.writes == self.breaks.write
        if fatal and not self.breaks.carried_out:
            self.broken.set()
        await self._open()
        answer = await write()
        if fatal:
            self.broken.set()
        await self._open()
        return answer

    async def _open(self) -> None:
        if self.broken.is_set():
            await self.mended.wait()


@dataclass
class Run:
    """A run on record: the workflow, what runners wrote of it, and the server that its tasks call."""

    status: FakeStatus
    server: Server
    attempt: int = 0

    @classmethod
    def of(cls, workflow: Workflow, nested: Mapping[str, Workflow], server: Server) -> Run:
        """An admitted run of the workflow."""
        known = servers(workflow, *nested.values(), unsafe=(UNSAFE,), attempts=20, backoff_seconds=4)
        inner = [{"name": name, "digest": "sha256:1", "spec": spec.wire()} for name, spec in nested.items()]
        body = fake_status.a_run_body(
            phase="Running",
            template={"digest": "sha256:0", "spec": workflow.wire(), "nested": inner},
            servers=[server.wire() for server in known.values()],
        )
        return cls(FakeStatus(body, takes_seconds=0.01), server)

    @property
    def told(self) -> dict[str, Any]:
        """The status as it is on record."""
        assert self.status.run
        found: dict[str, Any] = self.status.run["status"]
        return found

    @property
    def over(self) -> bool:
        """Whether the run's end is on record."""
        return self.told.get("runner", {}).get("outcome", "Suspended") != "Suspended"

    def tasks(self) -> dict[str, Any]:
        """How each unit ended, or is under way, and with which result."""
        return {task["name"]: came_to(task) for task in self.told.get("tasks", ())}

    def live(self, crash: Break = NEVER) -> None:
        """Another attempt, whose pod lives until the run's end or the crash."""

        async def main() -> None:
            line = Line(self.status, crash)
            await _end_or_break(work := self._next_pod(line), line)
            if work.done():
                work.result()

        virtual_time.run(main())

    def live_until_suspended(self, suspension: Suspension) -> None:
        """Another attempt, whose pod lives until the run's end, or until all is quiet; then the run may go on."""

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.call_later(suspension.seconds, functools.partial(self.status.order, suspend=True))
            if suspension.back_after is not None:
                back = functools.partial(self.status.order, suspend=False)
                loop.call_later(suspension.seconds + suspension.back_after, back)
            await self._next_pod(Line(self.status))

        virtual_time.run(main())
        self.status.order(suspend=False)

    def outlive(self, break_: Break, seconds: float) -> None:
        """An attempt whose pod is cut off for so long, and another in the meantime: to the operator it was lost."""

        async def main() -> None:
            line = Line(self.status, break_)
            await _end_or_break(lost := self._next_pod(line), line)
            asyncio.get_running_loop().call_later(seconds, line.mended.set)
            await asyncio.gather(lost, *(() if self.over else (self._next_pod(Line(self.status)),)))

        virtual_time.run(main())

    def _next_pod(self, line: Line) -> asyncio.Task[None]:
        """The operator gives the run another attempt, whose pod begins to work."""
        self.attempt += 1
        self.told.update(attempt=self.attempt, jobName=f"r-{self.attempt}")
        self.status.touch()
        return asyncio.create_task(self._work(line, self.attempt))

    async def _work(self, line: Line, attempt: int) -> None:
        """As `main` of the runner does it."""
        pod = fence.Pod("r", "n", f"r-{attempt}-abcde", f"pod-{attempt}")
        with contextlib.suppress(fence.NotOurs, RunLost):
            run = await fence.take(line, pod, START)
            await self._execute(line, run, pod)

    async def _execute(self, line: Line, run: WorkflowRun, pod: fence.Pod) -> None:
        template, runner = run.status.template, run.status.runner
        assert template
        assert runner
        stop: asyncio.Future[Stop] = asyncio.get_running_loop().create_future()
        packs = Packs(Owner("n", "r", "u1", run.status.job_name or ""), recorded.references(run.status))
        identity = Identity(pod.name, pod.uid, runner.start_time or START, runner.attempt)
        report = Report([task.name for task in template.spec.every_task], identity, packs)
        target = Target("n", "r", "u1", pod.uid)
        watcher = Watcher(run)
        give_up = lambda words: stop.set_result(Stop(words))  # noqa: E731 - a line
        applier = Applier(line, target, run.metadata.resource_version, report, give_up, watcher.see)
        with tempfile.TemporaryDirectory() as mounted:
            self._mount(Path(mounted))
            around = Surroundings(
                {server.name: server for server in run.status.servers},
                {nested.name: nested.spec for nested in template.nested},
                recorded.records(run.status, directory=Path(mounted)),
            )
        applier.start()
        try:
            async with watcher.watching(functools.partial(line.get, WORKFLOW_RUNS, "r", "n")) as orders:
                ending = await execute.execute(
                    template.spec, {}, around, self.server, Journal(report, applier.commit, run, ""),
                    timeout_seconds=10**6, stop=stop, orders=orders, clock=lambda: START, chance=lambda: 0.5,
                )  # fmt: skip
            report.close(ending)
        except Stopped:
            pass
        await applier.finish(again=stop.done())

    def _mount(self, directory: Path) -> None:
        """What the pod has of its run's packs: a file for each result."""
        for pack in self.status.created:
            for digest, data in pack["binaryData"].items():
                (directory / digest).write_bytes(base64.b64decode(data))


async def _end_or_break(work: asyncio.Task[None], line: Line) -> None:
    if line.breaks.seconds is not None:
        asyncio.get_running_loop().call_later(line.breaks.seconds, line.broken.set)
    await asyncio.wait({work, asyncio.create_task(line.broken.wait())}, return_when=asyncio.FIRST_COMPLETED)


def came_to(task: Mapping[str, Any]) -> tuple[Any, ...]:
    """A unit's phase and result, wherever that stands."""
    digest = task.get("resultRef", "").rpartition("/")[2]
    return task["phase"], task.get("result"), task.get("resultText"), digest


def endings_taken_back(run: Run) -> Iterator[str]:
    """Units that had ended by one write and were something else by the next."""
    for (_, earlier), (_, later) in itertools.pairwise(run.status.writes):
        after = {task["name"]: came_to(task) for task in later.get("tasks", ())}
        for task in earlier.get("tasks", ()):
            if TaskPhase(task["phase"]).final and after.get(task["name"]) != came_to(task):
                yield task["name"]
