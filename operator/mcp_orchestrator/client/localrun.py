"""`mcp-orchestrator run --local`: a workflow without a cluster, by a cluster's engine and behind its gateways."""

from __future__ import annotations

import asyncio
import logging
import secrets as tokens
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any

from mcp_orchestrator import settings
from mcp_orchestrator.api.base import ObjectMeta, TemplateReference
from mcp_orchestrator.api.control import CancelMode
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.taskstatus import TaskStatus
from mcp_orchestrator.api.workflow import Parameter, Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun, WorkflowRunSpec
from mcp_orchestrator.api.workflowrunstatus import Outcome
from mcp_orchestrator.client import given, interrupts, localservers, manifests, phases
from mcp_orchestrator.client.exits import Exit, Failed
from mcp_orchestrator.client.manifests import Manifests
from mcp_orchestrator.client.progress import Progress
from mcp_orchestrator.client.resultsfile import WorkflowResult, counted
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.planning.workflows import nesting, parameters, resolution
from mcp_orchestrator.planning.workflows.resolution import Rejected, Resolved, Surroundings, Waiting
from mcp_orchestrator.runner.reports.secrets import HIDDEN, Secrets
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.records import Ending, UnitRecord

START_SECONDS = 120.0
"""How long a server may take to answer for the first time: `uvx` and `npx` may have to download it."""
DRAW_SECONDS = 0.1
IDLE_SECONDS = 1.0
STOPPED = "the run was interrupted"
_EXITS = {Outcome.SUCCEEDED: Exit.OK, Outcome.CANCELLED: Exit.INTERRUPTED}


@dataclass(frozen=True, slots=True)
class Order:
    """What to run."""

    files: Sequence[str]
    template: str = ""
    parameters: Sequence[str] = ()
    """As they were given: NAME=VALUE, or NAME=@FILE."""
    timeout_seconds: int | None = None
    results_directory: str = ""


class Notes:
    """The engine's Reporter: keeps the records of all units, in their order."""

    def __init__(self, tasks: Sequence[str], secrets: Secrets) -> None:
        self.secrets = secrets
        self.changed = asyncio.Event()
        self._records = {name: UnitRecord(name) for name in tasks}

    def update(self, record: UnitRecord) -> None:
        """Take note."""
        self._records[record.name] = record
        self.changed.set()

    def conceal(self, value: Any) -> None:
        """Show the value nowhere from now on."""
        self.secrets = self.secrets.with_another(value)

    async def keep(self, answer: Answer) -> None:
        """There is room: the answer stays in memory."""

    def hides(self, encoded: bytes) -> bool:
        """Whether JSON has a secret in it."""
        return self.secrets.stand_in(encoded)

    async def commit(self) -> None:
        """Nothing goes on from what stands here."""

    def tasks(self) -> list[TaskStatus]:
        """The units as a run's status has them, their results whole."""
        return [self._status(record) for record in self._records.values()]

    def _status(self, record: UnitRecord) -> TaskStatus:
        names = ("start_time", "completion_time", "duration_milliseconds", "reason", "progress")
        fields = {name: value for name in names if (value := getattr(record, name)) is not None}
        if record.error:
            message = self.secrets.redact(record.error.message)
            fields["error"] = record.error.model_copy(update={"message": message})
        if record.message:
            fields["message"] = self.secrets.redact(record.message)
        if record.answer:
            shown = not self.secrets or not self.secrets.stand_in(record.answer.encode())
            fields["result"] = record.answer.result if shown else HIDDEN
        return TaskStatus(name=record.name, phase=record.phase, attempts=record.attempts, **fields)


def run(order: Order, output: str) -> Exit:
    """The command. Raises Failed."""
    # What the SDK can't read, and what gateways tell, stands in the tasks' errors.
    logging.disable(logging.CRITICAL)
    terminal = Terminal.of()
    held = manifests.load(order.files)
    run = run_of(order, held)
    declared = check(run, held)
    values = _values(run, declared, held)
    work = _execute(run, held, values, terminal if output == "text" else None)
    notes, ending = asyncio.run(interrupts.or_like_ctrl_c(work))
    tasks = notes.tasks()
    secret = {found.name for found in _workflow(run, held).outputs if found.sensitive}
    outputs = {name: HIDDEN if name in secret else value for name, value in ending.outputs.items()}
    if output == "json":
        told = {"outcome": ending.outcome, "reason": ending.reason, "message": notes.secrets.redact(ending.message)}
        whole = {**told, "outputs": outputs, "tasks": [task.wire() for task in tasks]}
        terminal.data(whole)
    else:
        _show(ending, outputs, notes.secrets, terminal)
    if order.results_directory:
        _result(run, tasks, outputs, ending, notes.secrets).write(order.results_directory)
    return _EXITS.get(ending.outcome, Exit.FAILED)


def _result(
    run: WorkflowRun, tasks: Sequence[TaskStatus], outputs: Mapping[str, Any], ending: Ending, secrets: Secrets
) -> WorkflowResult:
    completed, total = counted(tasks)
    times = [time for task in tasks for time in (task.start_time, task.completion_time) if time]
    elapsed = max(times) - min(times) if times else timedelta(0)
    status = {Outcome.SUCCEEDED: "completed", Outcome.CANCELLED: "cancelled"}.get(ending.outcome, "failed")
    return WorkflowResult(
        run=run.metadata.name,
        workflow=run.spec.template_ref.name if run.spec.template_ref else "",
        status=status,
        execution_time=int(elapsed / timedelta(milliseconds=1)),
        tasks_completed=completed,
        tasks_total=total,
        outputs=outputs,
        error="" if status == "completed" else secrets.redact(ending.message),
    )


def _show(ending: Ending, outputs: Mapping[str, Any], secrets: Secrets, terminal: Terminal) -> None:
    terminal.line()
    terminal.hanging("", terminal.paint(secrets.redact(ending.message), phases.colour(ending.outcome)))
    given.show_outputs(outputs, terminal)


def run_of(order: Order, held: Manifests) -> WorkflowRun:
    """The run that was asked for: one that stands in the files, else one of a template with what is given.

    Without a name it is the only run, else of the only template. Of a run and a template with that name it is the run,
    unless values are given for parameters. Raises Failed.
    """
    name = order.template
    runs = [run for own, run in held.runs.items() if name in (own, "")]
    if len(runs) == 1 and not order.parameters:
        return _within(runs[0], order.timeout_seconds)
    if not name and len(held.templates) == 1:
        (name,) = held.templates
    templates = f"templates {', '.join(held.templates) or 'none'}, and runs {', '.join(held.runs) or 'none'}"
    if not name:
        raise Failed(f"name the template to run: the files hold {templates}")
    if name in held.runs and name not in held.templates:
        raise Failed(f'"{name}" is a run, and has its values: to give others with -p, name its template')
    if name not in held.templates:
        raise Failed(f'there is no template "{name}" in the files: they hold {templates}')
    declared = held.templates[name].spec.parameters
    values = given.parameters(order.parameters, declared)
    spec = WorkflowRunSpec(template_ref=TemplateReference(name=name), parameters=values)
    metadata = ObjectMeta(name=name, namespace=manifests.NAMESPACE, uid=tokens.token_hex(8), generation=1)
    return _within(WorkflowRun(metadata=metadata, spec=spec), order.timeout_seconds)


def _within(run: WorkflowRun, seconds: int | None) -> WorkflowRun:
    """The run, with the limit that was given."""
    limit = {"timeout_seconds": seconds} if seconds else {}
    return run.model_copy(update={"spec": run.spec.model_copy(update=limit)})


def _workflow(run: WorkflowRun, held: Manifests) -> Workflow:
    if run.spec.template:
        return run.spec.template
    name = run.spec.template_ref.name if run.spec.template_ref else ""
    if name not in held.templates:
        raise Failed(f'run "{run.metadata.name}" names the template "{name}", which is not among the files')
    return held.templates[name].spec


def check(run: WorkflowRun, held: Manifests) -> tuple[Parameter, ...]:
    """The parameters of the workflow, once all that can be known before a server runs was found to be well."""
    workflow = _workflow(run, held)
    if run.spec.resume_from:
        raise Failed("spec.resumeFrom has no meaning in a local run: there is no earlier one")
    found = resolution.resolve(run, around(held, {}))
    if isinstance(found, Rejected):
        raise Failed("\n".join(["the workflow can't run:", *(f"  {mistake}" for mistake in found.mistakes)]))
    if isinstance(found, Waiting) and (missing := _missing(run, held)):
        raise Failed(f"no manifest of MCPServer {', '.join(missing)} is among the files")
    return workflow.parameters


def around(held: Manifests, running: Mapping[str, localservers.Running]) -> Surroundings:
    """What stands beside the run."""
    servers = {name: one.server for name, one in running.items()}
    return Surroundings(templates=held.templates, servers=servers, texts=dict(held.texts))


def used(run: WorkflowRun, held: Manifests) -> list[str]:
    """The servers that the run calls, by name."""
    workflow = _workflow(run, held)
    inner = nesting.find(workflow, held.templates, "spec", "").templates
    specs = (workflow, *(found.spec for found in inner))
    return sorted({task.server for spec in specs for task in spec.every_task if task.server})


def _missing(run: WorkflowRun, held: Manifests) -> list[str]:
    return [name for name in used(run, held) if name not in held.servers]


def _values(run: WorkflowRun, declared: tuple[Parameter, ...], held: Manifests) -> tuple[Mapping[str, Any], Secrets]:
    """The values of all parameters, and which of them are secret."""
    known = {parameter.name: parameter for parameter in declared}
    found = dict(run.spec.parameters)
    for source in run.spec.parameters_from:
        ref = source.secret_key_ref or source.config_map_key_ref
        kind, texts = ("Secret", held.secrets) if source.secret_key_ref else ("ConfigMap", held.texts)
        if ref is None or (ref.name, ref.key) not in texts:
            name = f"{kind} {ref.name} with a key {ref.key}" if ref else kind
            raise Failed(f"spec.parametersFrom.{source.name} needs {name}: add its manifest to the files")
        try:
            found[source.name] = parameters.from_text(known.get(source.name), texts[ref.name, ref.key])
        except parameters.NotReadable as error:
            raise Failed(f"spec.parametersFrom.{source.name}: {error}") from error
    resolved = parameters.resolve(declared, found, "spec.parameters")
    if resolved.mistakes:
        raise Failed("\n".join(map(str, resolved.mistakes)))
    secret = [resolved.values[name] for name, one in known.items() if one.sensitive and name in resolved.values]
    return resolved.values, Secrets(secret)


async def _execute(
    run: WorkflowRun, held: Manifests, values: tuple[Mapping[str, Any], Secrets], terminal: Terminal | None
) -> tuple[Notes, Ending]:
    # The SDK takes half a second to import, in which the gateways start.
    importing = asyncio.create_task(asyncio.to_thread(import_module, "mcp_orchestrator.runner.calls.tools"))
    workflow = _workflow(run, held)
    notes = Notes([task.name for task in workflow.every_task], values[1])
    wanted = [held.servers[name] for name in used(run, held)]
    async with localservers.running(wanted, held, START_SECONDS) as running:
        found = resolution.resolve(run, around(held, running))
        if not isinstance(found, Resolved):
            raise Failed("the workflow can't run:\n  " + str(found.message))
        await importing
        from mcp_orchestrator.runner.calls import tools
        from mcp_orchestrator.runner.control import orders
        from mcp_orchestrator.runner.engine import execute

        urls = {name: one.url for name, one in running.items()}
        surroundings = execute.Surroundings(
            servers={server.name: _here(server, urls) for server in found.servers},
            nested={nested.name: nested.spec for nested in found.template.nested},
        )
        limit = run.spec.timeout_seconds or workflow.timeout_seconds or settings.Settings().timeout_seconds
        told = orders.Orders()
        async with _shown(notes, terminal), tools.McpCaller(urls, run_uid=run.metadata.uid) as caller:
            work = execute.execute(workflow, values[0], surroundings, caller, notes, timeout_seconds=limit, orders=told)
            ending = await interrupts.or_else(
                work, lambda: told.give(orders.Order(cancel=CancelMode.GRACEFUL, message=STOPPED))
            )
    return notes, ending


def _here(server: ResolvedServer, urls: Mapping[str, str]) -> ResolvedServer:
    return server.model_copy(update={"url": urls[server.name]})


@asynccontextmanager
async def _shown(notes: Notes, terminal: Terminal | None) -> AsyncIterator[None]:
    """Show the tasks while they go on, and as they ended."""
    if terminal is None:
        yield
        return
    progress = Progress(terminal)

    async def follow() -> None:
        while True:
            progress.show(notes.tasks(), settings.clock())
            notes.changed.clear()
            await asyncio.sleep(DRAW_SECONDS)
            # Times go on while nothing happens; only a terminal shows them.
            with suppress(TimeoutError):
                await asyncio.wait_for(notes.changed.wait(), IDLE_SECONDS if terminal.columns else None)

    following = asyncio.create_task(follow())
    try:
        yield
    finally:
        following.cancel()
        await asyncio.wait({following})
        progress.show(notes.tasks(), settings.clock())
