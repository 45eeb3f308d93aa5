"""The `runner` program: executes one WorkflowRun and reports how it went. Started by a run's Job."""

from __future__ import annotations

import asyncio
import functools
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcp_orchestrator import settings
from mcp_orchestrator.planning import wording
from mcp_orchestrator.runner.control.stop import Stop, Stopped

if TYPE_CHECKING:
    from mcp_orchestrator.api.workflowrun import WorkflowRun
    from mcp_orchestrator.cluster.client import Client
    from mcp_orchestrator.runner.control.orders import Orders
    from mcp_orchestrator.runner.fence import Pod
    from mcp_orchestrator.runner.parameterfiles import Given
    from mcp_orchestrator.runner.reports.journal import Journal
    from mcp_orchestrator.runner.results.objects import Objects
    from mcp_orchestrator.runner.results.packs import Owner
    from mcp_orchestrator.runner.results.records import Ending, UnitRecord

log = logging.getLogger(__name__)

TERMINATION_LOG = "/dev/termination-log"
TERMINATION_BYTES = 4096
DEFAULT_TIMEOUT_SECONDS = 3600
STOPPED = "the pod was asked to stop (SIGTERM) before the run was finished"
STOP_PATIENCE_SECONDS = 12.0
"""How long calls under way may go on after SIGTERM, of the 30 s that the kubelet gives the pod."""


@dataclass(frozen=True, slots=True)
class Environment:
    """What the Job tells the runner."""

    run_name: str
    namespace: str
    pod_name: str
    pod_uid: str
    timeout_seconds: int
    log_level: str
    mode: str
    traceparent: str
    termination_log: str
    object_store: settings.ObjectStore | None = None


class Stopper:
    """Whether the run is to stop; asked for by the kubelet at any time from the program's first moment on."""

    def __init__(self) -> None:
        self._order: Stop | None = None
        self._future: asyncio.Future[Stop] | None = None

    def terminate(self) -> None:
        """The kubelet asks to stop."""
        self._ask(Stop(STOPPED, STOP_PATIENCE_SECONDS))

    def give_up(self, words: str) -> None:
        """The run is lost: nothing is worth waiting for."""
        self._ask(Stop(words))

    def future(self) -> asyncio.Future[Stop]:
        """Set once a stop is asked for. Call it in the event loop."""
        if self._future is None:
            self._future = asyncio.get_running_loop().create_future()
            if self._order:
                self._future.set_result(self._order)
        return self._future

    def _ask(self, order: Stop) -> None:
        """Later orders change nothing."""
        self._order = self._order or order
        if self._future and not self._future.done():
            self._future.set_result(self._order)


def run() -> int:
    """Execute the run that the environment names.

    Returns 0 when its outcome is reported, or when it is not ours to execute; 1 when this program could not do its
    work, and 2 for an environment that lacks something: the reason then stands in the pod's termination message.
    """
    stop = Stopper()
    # Imports make many objects and no garbage: looking for it costs a sixth of the time to the first call.
    gc.disable()
    # At once: the first process of a container gets no signal that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: stop.terminate())
    try:
        environment = read(os.environ)
    except settings.InvalidSetting as error:
        return _give_up(os.environ.get(f"{settings.PREFIX}TERMINATION_LOG", TERMINATION_LOG), str(error), 2)
    from mcp_orchestrator import telemetry

    telemetry.set_up_logging(environment.log_level, environment.mode == "production")
    for name in ("mcp", "client"):
        # The SDK logs what it can't read, and with it what tools say.
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        failure = asyncio.run(work(environment, stop))
    except Exception as error:  # the program's top: what nobody foresaw must be told where the Job's people look
        log.exception("the runner failed")
        failure = f"the runner failed: {type(error).__name__}: {error}"
    return _give_up(environment.termination_log, failure, 1) if failure else 0


def read(environ: Mapping[str, str]) -> Environment:
    """The environment's words. Raises InvalidSetting, naming what is missing."""

    def needed(name: str) -> str:
        value = environ.get(settings.PREFIX + name, "").strip()
        if not value:
            raise settings.InvalidSetting(f"{settings.PREFIX}{name} is not set: the runner is started by a run's Job")
        return value

    timeout = environ.get(f"{settings.PREFIX}RUN_TIMEOUT_SECONDS", "").strip() or str(DEFAULT_TIMEOUT_SECONDS)
    if not timeout.isdecimal() or int(timeout) < 1:
        raise settings.InvalidSetting(f"{settings.PREFIX}RUN_TIMEOUT_SECONDS is {timeout!r}: set it to whole seconds")
    general = settings.read(environ)
    return Environment(
        run_name=needed("RUN_NAME"),
        namespace=needed("RUN_NAMESPACE"),
        pod_name=needed("POD_NAME"),
        pod_uid=needed("POD_UID"),
        timeout_seconds=int(timeout),
        log_level=general.log_level,
        mode=general.mode,
        traceparent=environ.get("TRACEPARENT", ""),
        termination_log=environ.get(f"{settings.PREFIX}TERMINATION_LOG", "") or TERMINATION_LOG,
        object_store=general.object_store,
    )


async def work(environment: Environment, stop: Stopper) -> str:
    """Take the run, execute it, report. Returns why that could not be done; empty if it could."""
    from mcp_orchestrator.cluster import config
    from mcp_orchestrator.cluster.client import Client
    from mcp_orchestrator.runner import fence
    from mcp_orchestrator.runner.reports import applying

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.terminate)
    pod = fence.Pod(environment.run_name, environment.namespace, environment.pod_name, environment.pod_uid)
    try:
        async with Client(config.load(), pool_limit=2) as client:
            taken = await _unless_stopped(fence.take(client, pod, settings.clock()), stop)
            if taken is None:
                return "the pod was asked to stop before the run began"
            await execute_taken(client, taken, pod, environment, stop)
    except (fence.NotOurs, applying.RunLost) as error:
        log.warning("nothing to do: %s", error, extra={"object_name": environment.run_name})
    except (fence.NoRun, applying.NotReported, config.ConfigError, Stopped) as error:
        return str(error)
    return ""


async def execute_taken(client: Client, run: WorkflowRun, pod: Pod, environment: Environment, stop: Stopper) -> None:
    """Execute a run that is ours and report it to its end, or to where it is suspended.

    Raises RunLost, NotReported; Stopped before its end.
    """
    from mcp_orchestrator.cluster import resources
    from mcp_orchestrator.runner import parameterfiles, resuming
    from mcp_orchestrator.runner.control import watching
    from mcp_orchestrator.runner.reports import applying, journal, reporting
    from mcp_orchestrator.runner.reports.secrets import Secrets
    from mcp_orchestrator.runner.results import recorded
    from mcp_orchestrator.runner.results.packs import Owner, Packs

    template, runner = run.status.template, run.status.runner
    assert template  # noqa: S101 - the fence is taken of admitted runs only
    assert runner  # noqa: S101 - likewise
    given = parameterfiles.resolve(run.spec, template.spec.parameters)
    owner = Owner(pod.namespace, pod.run_name, run.metadata.uid, run.status.job_name or pod.name)
    objects = _objects(environment.object_store, owner)
    report = reporting.Report(
        [task.name for task in template.spec.every_task],
        reporting.Identity(pod.name, pod.uid, runner.start_time or settings.clock(), runner.attempt),
        Packs(owner, recorded.references(run.status)),
        Secrets(given.secrets),
        objects,
    )
    target = applying.Target(pod.namespace, pod.run_name, run.metadata.uid, pod.uid)
    watcher = watching.Watcher(run)
    look = functools.partial(client.get, resources.WORKFLOW_RUNS, pod.run_name, pod.namespace, cached=True)
    applier = applying.Applier(client, target, run.metadata.resource_version, report, stop.give_up, watcher.see)
    notes = journal.Journal(report, applier.commit, run, environment.traceparent)
    known = await _known(client, run, objects)
    await resuming.keep(known, report)
    applier.start()
    try:
        async with watcher.watching(look) as orders:
            ending = await _execute(client, run, environment, stop, orders, notes, given, known)
    except Stopped:
        await applier.finish(again=True)
        raise
    report.close(ending, [output.name for output in template.spec.outputs if output.sensitive])
    notes.close(ending)
    await applier.finish()


def _objects(store: settings.ObjectStore | None, owner: Owner) -> Objects | None:
    """The run's objects, if there is a store. Its client takes a few megabytes, so it is imported only then."""
    if store is None:
        return None
    from mcp_orchestrator.runner.results.objects import Objects

    return Objects(store, owner, os.environ)


async def _known(client: Client, run: WorkflowRun, objects: Objects | None) -> Mapping[str, UnitRecord]:
    """The units that an earlier pod has on record, else those of the run that this one resumes."""
    from mcp_orchestrator.runner import resuming
    from mcp_orchestrator.runner.results import recorded

    if run.status.tasks or not run.spec.resume_from:
        return recorded.records(run.status, await resuming.stored(run.status, objects))
    return await resuming.records(client, run, objects)


async def _execute(
    client: Client,
    run: WorkflowRun,
    environment: Environment,
    stop: Stopper,
    orders: Orders,
    notes: Journal,
    given: Given,
    known: Mapping[str, UnitRecord],
) -> Ending:
    # Imported here: the SDK takes half a second, in which the first report is under way.
    from mcp_orchestrator.runner import endings
    from mcp_orchestrator.runner.cache import caches
    from mcp_orchestrator.runner.calls import tools
    from mcp_orchestrator.runner.engine import execute

    gc.freeze()
    gc.enable()
    template = run.status.template
    assert template  # noqa: S101 - the fence is taken of admitted runs only
    workflow = template.spec
    if given.mistakes:
        return endings.not_begun(workflow, given.mistakes, notes)
    limit = run.spec.timeout_seconds or workflow.timeout_seconds or environment.timeout_seconds
    around = execute.Surroundings(
        servers={server.name: server for server in run.status.servers},
        nested={nested.name: nested.spec for nested in template.nested},
        recorded=known,
    )
    traceparent = run.status.traceparent or environment.traceparent
    urls = {server.name: server.url for server in run.status.servers}
    async with (
        caches.of_run(run, os.environ, client.connection) as cache,
        tools.McpCaller(urls, run_uid=run.metadata.uid, traceparent=traceparent) as caller,
    ):
        return await execute.execute(
            workflow,
            given.values,
            around,
            caller,
            notes,
            timeout_seconds=limit,
            spent_seconds=run.status.spent_seconds(settings.clock()),
            stop=stop.future(),
            orders=orders,
            cache=cache,
        )


async def _unless_stopped(taking: Coroutine[Any, Any, WorkflowRun], stop: Stopper) -> WorkflowRun | None:
    task = asyncio.create_task(taking)
    waited: set[asyncio.Future[Any]] = {task, stop.future()}
    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
    return None if task.cancelled() else task.result()


def _give_up(termination_log: str, message: str, code: int) -> int:
    """Say why where `kubectl describe pod` shows it; returns the exit code."""
    print(message, file=sys.stderr)
    try:
        Path(termination_log).write_text(wording.fit(message, TERMINATION_BYTES), encoding="utf-8")
    except OSError as error:
        print(f"the termination message can't be written: {error}", file=sys.stderr)
    return code
