"""The operator's process: puts its parts together, starts them in order, and ends them in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from importlib import metadata

import kopf

from mcp_orchestrator import settings as settings_module
from mcp_orchestrator import telemetry
from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.cluster import config, errors
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.cluster.events import Recorder
from mcp_orchestrator.cluster.lease import Elector, LeadershipLost
from mcp_orchestrator.controllers import expiry, health, limits, overview, records, watching
from mcp_orchestrator.controllers.accounts import RunnerAccounts
from mcp_orchestrator.controllers.admission import Admission
from mcp_orchestrator.controllers.children import Children
from mcp_orchestrator.controllers.cleanup import CLEANUP, Cleanup
from mcp_orchestrator.controllers.probe import HttpProbe, Probe
from mcp_orchestrator.controllers.receipts import Receipts
from mcp_orchestrator.controllers.reconcile import Controller, Reconciler
from mcp_orchestrator.controllers.reflector import Reflector
from mcp_orchestrator.controllers.runs import Runs
from mcp_orchestrator.controllers.scenes import Scenes
from mcp_orchestrator.controllers.servers import Servers
from mcp_orchestrator.controllers.store import Key
from mcp_orchestrator.controllers.sweep import Sweeper
from mcp_orchestrator.controllers.templates import Templates
from mcp_orchestrator.controllers.workqueue import WorkQueue
from mcp_orchestrator.controllers.writing import Writer
from mcp_orchestrator.settings import InvalidSetting, Settings

logger = logging.getLogger(__name__)

EXPLAIN_SECONDS = 10.0
"""How often runs at the head of the queue are told what they wait for, if that has changed."""
FINISH_SECONDS = 3.0
"""How long the work under way may take at the end."""


def run() -> int:
    """The program `mcp-orchestrator operator`; returns its exit code."""
    try:
        settings = settings_module.read(os.environ)
        connection = config.load()
    except (InvalidSetting, config.ConfigError) as error:
        print(f"mcp-orchestrator: {error}", file=sys.stderr)
        return 2
    telemetry.set_up_logging(settings.log_level, json=settings.mode == "production")
    telemetry.set_build_info(metadata.version("mcp-orchestrator"))
    try:
        asyncio.run(serve(settings, connection))
    except LeadershipLost as error:
        logger.error("leadership is lost, another replica takes over: %s", error)
        return 1
    except errors.ApiError as error:
        logger.error("the API server can't be used: %s", error.message)
        return 1
    except InvalidSetting as error:
        logger.error("%s", error)
        return 2
    return 0


async def serve(
    settings: Settings,
    connection: Connection,
    *,
    probe: Probe | None = None,
    stop: asyncio.Event | None = None,
    clock: Callable[[], datetime] = settings_module.clock,
) -> None:
    """Run the operator until `stop` is set or the process is asked to end. `clock` tells when schedules are due
    and when ended runs go.

    Raises LeadershipLost when another replica may lead: the process must then end.
    """
    async with contextlib.AsyncExitStack() as stack:
        elector = await _elector(stack, settings, connection)
        client = await stack.enter_async_context(Client(connection, gate=elector.check if elector else None))
        if probe is None:
            probe = http = HttpProbe()
            stack.push_async_callback(http.close)
        operator = Operator(settings, client, probe, elector, clock)
        state = health.Health(telemetry.OPERATOR)
        operator.report_to(state)
        port = await stack.enter_async_context(health.serve(state, settings.http_port))
        logger.info("health and metrics are served on port %d", port)
        await operator.sync()
        # kopf ends every task of the loop that began after it: so it begins last.
        tasks = [*operator.start(), asyncio.create_task(_watch(settings, connection, operator, stop), name="watch")]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await operator.finish()
            await _end(tasks)
        for task in done:
            task.result()


async def _elector(stack: contextlib.AsyncExitStack, settings: Settings, connection: Connection) -> Elector | None:
    if not settings.leader_elect:
        return None
    # A client of its own: a pool full of other requests must not delay renewals.
    client = await stack.enter_async_context(Client(connection, pool_limit=2))
    return Elector(client, namespace=settings.namespace, name=settings.lease, identity=settings.identity)


async def _watch(settings: Settings, connection: Connection, operator: Operator, stop: asyncio.Event | None) -> None:
    await kopf.operator(
        registry=watching.registry(connection, operator.store, operator.sweeper.request),
        settings=watching.settings(),
        clusterwide=not settings.watch_namespaces,
        namespaces=settings.watch_namespaces,
        standalone=True,
        stop_flag=stop,
    )


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    """End the tasks one after another; what they raise is not of interest any more."""
    for task in tasks:
        task.cancel()
        await asyncio.wait([task])


class Operator:
    """The parts of a running operator. With an elector, they act only while this replica leads."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        probe: Probe,
        elector: Elector | None = None,
        clock: Callable[[], datetime] = settings_module.clock,
    ) -> None:
        self.settings = settings
        self.store = records.new_store()
        self.queue: WorkQueue[Key] = WorkQueue("mcp-orchestrator")
        self.sweeper = Sweeper(client, self.store, settings.watch_namespaces)
        self._children = [
            Reflector(client, self.store, resource, namespace=namespace, label_selector=label)
            for resource, label in records.CHILDREN.items()
            for namespace in settings.watch_namespaces or ("",)
        ]
        self.recorder = Recorder(client, instance=settings.identity)
        self._expiries = {
            "answers": expiry.of_answers(client, settings.watch_namespaces, settings.cache_max_answers),
            "receipts": expiry.of_receipts(client, settings.watch_namespaces),
        }
        self._limits = limits.load(settings)
        self.admission = Admission(self.store, self._limits, self.queue.add)
        self._clock = clock
        self._cleanup = Cleanup(client=client, store=self.store, clock=clock, later=self.queue.add_after)
        self._elector = elector
        self._reconciler = Reconciler(self._controllers(client, probe))
        self._synced = False
        self._begun = False
        self._work: asyncio.Task[None] | None = None
        telemetry.ACTIVE_WORKFLOWS.set_function(lambda: self.active_runs() if self._leads() else 0)
        telemetry.WAITING_WORKFLOWS.set_function(lambda: self.admission.waiting() if self._leads() else 0)

    def active_runs(self) -> int:
        """Number of runs that hold a slot on record."""
        return self.store.count(records.RUN, "state", "active")

    def report_to(self, state: health.Health) -> None:
        """Add the operator's checks to its health endpoint."""
        state.add_readiness("store", lambda: None if self._synced else "the first list is not complete yet")
        if self._elector:
            state.add_liveness("lease", self._elector.alive)
        state.add_report("mcp_servers", lambda: overview.of_servers(self._servers()))
        state.add_report("workflow_queue", self._queue_report)

    async def sync(self) -> None:
        """Fill the store, and queue everything: runs in the order of their creation, so that a restart keeps it."""
        await self.sweeper.sweep()
        for children in self._children:
            await children.list()
        records.Waker(self.store, self.queue.add)
        for key in self._oldest_first():
            self.queue.add(key)
        self._cleanup.begin()
        self._synced = True

    def start(self) -> list[asyncio.Task[None]]:
        """Start to work; the tasks are in the order in which they should end."""
        self._work = asyncio.create_task(
            self.queue.run(self._handle, self.settings.workers, controller_of=lambda key: key.kind.lower()),
            name="work",
        )
        leading = self._elector.leading if self._elector else None
        running = [
            self._work,
            asyncio.create_task(self.sweeper.run(), name="sweep"),
            *(asyncio.create_task(children.run(), name=f"watch {children}") for children in self._children),
            asyncio.create_task(self.recorder.run(), name="events"),
            asyncio.create_task(self._explain(), name="explain"),
            asyncio.create_task(limits.follow(self.settings, self._limits, self._set_limits), name="limits"),
            *(asyncio.create_task(kind.run(leading), name=name) for name, kind in self._expiries.items()),
        ]
        return [*running, asyncio.create_task(self._elector.run(), name="lease")] if self._elector else running

    async def finish(self) -> None:
        """Take no more work, and let what is under way come to its end."""
        self.queue.shutdown()
        if self._work and self._leads():
            await asyncio.wait([self._work], timeout=FINISH_SECONDS)
            await self.recorder.flush(FINISH_SECONDS)

    def _leads(self) -> bool:
        return self._elector is None or self._elector.is_leader

    def _servers(self) -> Iterator[MCPServer]:
        found = (self.store.get(key) for key in self.store.keys(records.SERVER))
        return (server for server in found if isinstance(server, MCPServer))

    def _queue_report(self) -> health.Report:
        limit = self._limits.max_concurrent_runs or 0
        return overview.of_queue(self.admission.taken(), self.admission.waiting(), limit)

    def _set_limits(self, found: Limits) -> None:
        self._limits = found
        self.admission.set_limits(found)

    async def _explain(self) -> None:
        while True:
            await asyncio.sleep(EXPLAIN_SECONDS)
            self.admission.explain()

    async def _handle(self, key: Key) -> float | None:
        if self._elector:
            await self._elector.leading.wait()
        if not self._begun:
            # Nothing was looked at before: whatever is in the store is in the work queue.
            self._begun = True
            self.admission.wait_for(records.without_places(self.store))
        return await self._reconciler.handle(key)

    def _controllers(self, client: Client, probe: Probe) -> dict[str, Controller]:
        store, settings = self.store, self.settings
        children = Children(client, store)
        writer = Writer(client, store, self.recorder)
        return {
            records.SERVER: Servers(
                client=client, store=store, children=children, probe=probe, writer=writer, settings=settings
            ),
            records.TEMPLATE: Templates(
                client=client, store=store, writer=Writer(client, store, self.recorder, self._clock), clock=self._clock
            ),
            CLEANUP: self._cleanup,
            records.RUN: Runs(
                client=client,
                store=store,
                children=children,
                accounts=RunnerAccounts(client, store),
                admission=self.admission,
                writer=writer,
                scenes=Scenes(client, store, probe),
                receipts=Receipts(client, days=settings.receipt_days, most=settings.max_receipts),
                settings=settings,
                wake=self.queue.add,
            ),
        }

    def _oldest_first(self) -> list[Key]:
        """All keys; runs in the order of their creation, so that a restart keeps the queue's order."""
        runs = sorted(
            self.store.keys(records.RUN),
            key=lambda key: (self.store.get(key) or {}).get("metadata", {}).get("creationTimestamp", ""),
        )
        return [*self.store.keys(records.SERVER), *self.store.keys(records.TEMPLATE), *runs]
