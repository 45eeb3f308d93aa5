"""What to do about a run that failed: steps that fit its class, its server and what was seen. Called by `failures`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mcp_orchestrator.api import conditions
from mcp_orchestrator.api.conditions import Verdict
from mcp_orchestrator.api.errorclass import ErrorClass
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.mcpserverstatus import ServerCondition, ServerReason
from mcp_orchestrator.api.pods import KeySelector
from mcp_orchestrator.api.resolved import ResolvedServer
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.api.taskstatus import TaskPhase, TaskStatus
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.planning.diagnosis import evidence, pods
from mcp_orchestrator.planning.diagnosis.scene import Scene, ServerScene

KILLED = "signal 9"
_LASTING = frozenset(ServerReason) - {ServerReason.READY, ServerReason.STARTING, ServerReason.NOT_VERIFIED}


@dataclass(frozen=True, slots=True)
class Facts:
    """A failed task, and what is known around it."""

    run: WorkflowRun
    unit: TaskStatus
    task: Task
    class_: ErrorClass
    scene: Scene

    @property
    def server(self) -> str:
        """Name of the server that the task calls."""
        return self.task.server or ""

    @property
    def found(self) -> ServerScene:
        """The server as it was found."""
        return self.scene.server or ServerScene(self.server)

    @property
    def resolved(self) -> ResolvedServer | None:
        """The server as it was when the run was admitted."""
        return next((known for known in self.run.status.servers if known.name == self.server), None)

    def kubectl(self, command: str) -> str:
        """The command line, in the run's namespace."""
        return f"kubectl -n {self.run.metadata.namespace} {command}"


def of_task(facts: Facts) -> tuple[str, ...]:
    """The steps, most urgent first."""
    return tuple(_steps(facts))


def of_server(facts: Facts) -> tuple[str, ...]:
    """What to mend in the task's server; nothing if it seems well."""
    return tuple(_server_first(facts))


def _steps(facts: Facts) -> Iterator[str]:
    if facts.unit.phase == TaskPhase.INDETERMINATE:
        yield from _unknown(facts)
    broken = [*_server_first(facts)] if facts.server and facts.class_ in OF_SERVERS else []
    yield from broken or _BY_CLASS[facts.class_](facts)
    done = sum(task.own and task.phase == TaskPhase.SUCCEEDED for task in facts.run.status.tasks)
    if done:
        kept = "the finished task is" if done == 1 else f"the {done} finished tasks are"
        metadata = facts.run.metadata
        yield f"Then run what is left: mcp-orchestrator retry {metadata.name} -n {metadata.namespace}; {kept} kept."


def _unknown(facts: Facts) -> Iterator[str]:
    yield (
        f"Find out whether {facts.unit.name} was carried out, for nobody knows: if it was, take the task out and "
        "resume the rest with spec.resumeFrom of a new run; if it was not, just do that."
    )
    yield "If a second call would do no harm, say so in the task: idempotent: true."


# --- a server that is broken itself -----------------------------------------------------------------------------------

OF_SERVERS = frozenset(
    {
        ErrorClass.CONNECT,
        ErrorClass.SERVER_DOWN,
        ErrorClass.TRANSPORT,
        ErrorClass.TIMEOUT,
        ErrorClass.AUTH,
        ErrorClass.PROTOCOL,
    }
)
"""Classes that a broken server can be the cause of."""


def _server_first(facts: Facts) -> Iterator[str]:
    """What to mend in the server; nothing if it seems well."""
    found = facts.found
    if facts.scene.server and found.server is None:
        yield f"MCPServer {facts.server} does not exist any more: apply it again."
        return
    deaths = evidence.deaths(found, facts.run)
    if any(how.startswith(pods.OUT_OF_MEMORY) for how in deaths):
        yield f"MCPServer {facts.server} ran out of memory: {_more_memory(found.server)}"
        return
    trouble = _trouble(found)
    if any(KILLED in how for how in ([trouble.message] if trouble else deaths)):
        killed = f"The process of MCPServer {facts.server} was killed, likely for want of memory"
        yield f"{killed}: {_more_memory(found.server)}"
    elif trouble:
        yield from _mend_server(facts, trouble)


def _trouble(found: ServerScene) -> Verdict | None:
    """What ails the server now. Its gateway, asked just now, knows of it before the resource does."""
    ready = conditions.find(found.server.status.conditions, ServerCondition.READY) if found.server else None
    if ready and ready.status != conditions.ConditionStatus.TRUE:
        return conditions.false(ready.reason, ready.message) if ready.reason in _LASTING else None
    error = found.report.error if found.report else None
    return conditions.false(error.class_, error.message) if error else None


def _mend_server(facts: Facts, trouble: Verdict) -> Iterator[str]:
    if trouble.reason == ServerReason.UNAUTHORIZED:
        yield from _auth(facts)
    elif trouble.reason == ServerReason.SCALED_TO_ZERO:
        yield f"Start the server: {facts.kubectl(f'scale mcpserver {facts.server} --replicas=1')}"
    else:
        yield f"Mend MCPServer {facts.server} first ({trouble.reason}): {conditions.shorten(trouble.message, 700)}"
    yield f"See that it is Ready: {facts.kubectl(f'get mcpserver {facts.server}')}"


def _more_memory(server: MCPServer | None) -> str:
    resources = server.spec.resources if server else None
    limit = resources.limits.get("memory") if resources else None
    now = f"is {limit} now" if limit else "has no value now, so the node itself was short of memory"
    return f"raise spec.resources.limits.memory, which {now}."


# --- by the class of the error ----------------------------------------------------------------------------------------


def _logs(facts: Facts) -> str:
    container = "server" if facts.found.server and facts.found.server.spec.http else "gateway"
    return facts.kubectl(f"logs deployment/{facts.server} -c {container}")


def _connect(facts: Facts) -> Iterator[str]:
    yield f"Check the server: {facts.kubectl(f'describe mcpservers.mcp-orchestrator.io {facts.server}')}"
    yield f"Check that no NetworkPolicy keeps the run's pod from Service {facts.server} on port 8080."
    yield from _patience(facts, "If the server was only away for a while (a restart, say), be more patient")


def _patience(facts: Facts, when: str) -> Iterator[str]:
    retry = facts.task.retry
    attempts = (retry.attempts if retry else None) or (facts.resolved.retry.attempts if facts.resolved else None)
    if attempts:
        yield (
            f"{when}: retry.attempts of task {facts.task.name} is {attempts} now; raise it, or retry.backoffSeconds."
        )


def _busy(facts: Facts) -> Iterator[str]:
    template = facts.run.status.template
    width = template.spec.max_parallel_tasks if template else None
    own = facts.task.for_each.max_parallel if facts.task.for_each else None
    field, value = ("forEach.maxParallel of the task", own) if own else ("spec.maxParallelTasks", width)
    yield (
        f"MCPServer {facts.server} refuses calls because of its rate limit: call it less at once"
        + (f" ({field} is {value} now)" if value else "")
        + ", or run later."
    )
    yield from _patience(facts, "Or give it more time between attempts")


def _auth(facts: Facts) -> Iterator[str]:
    refs = secret_refs(facts.found.server)
    if facts.found.server and not refs:
        field = "spec.remote.headers" if facts.found.server.spec.remote else "spec.env"
        yield f"MCPServer {facts.server} sends no key: add it to {field}, with a secretKeyRef."
        return
    if not refs:
        yield f"Renew the key in the Secret that MCPServer {facts.server} names."
    for ref in refs[:3]:
        patch = facts.kubectl(f'patch secret {ref.name} -p \'{{"stringData":{{"{ref.key}":"NEW"}}}}\'')
        yield f"Renew the key {ref.key} of Secret {ref.name}: {patch}"
    yield f"Then restart its pods, which read it when they start: {_restart(facts)}"


def _restart(facts: Facts) -> str:
    return facts.kubectl(f"rollout restart deployment/{facts.server}")


def secret_refs(server: MCPServer | None) -> list[KeySelector]:
    """The keys of Secrets that the server is given."""
    if server is None:
        return []
    if server.spec.remote:
        return [header.secret_key_ref for header in server.spec.remote.headers]
    sources = (variable.value_from for variable in server.spec.env if variable.value_from)
    return [source.secret_key_ref for source in sources if source.secret_key_ref]


def _timeout(facts: Facts) -> Iterator[str]:
    limit = facts.task.timeout_seconds or (facts.resolved.timeout_seconds if facts.resolved else None)
    now = f" (now {limit})" if limit else ""
    yield (
        f"If the call needs longer, raise timeoutSeconds of task {facts.task.name}{now}, or spec.timeoutSeconds of "
        f"MCPServer {facts.server}."
    )
    if facts.task.deadline_seconds:
        yield f"The task as a whole may take {facts.task.deadline_seconds} s (deadlineSeconds): that counts as well."
    yield f"If it should be quick, see what the server is doing: {_logs(facts)}"


def _transport(facts: Facts) -> Iterator[str]:
    if facts.unit.phase != TaskPhase.INDETERMINATE:
        yield "The connection broke during the call, so the tool may have done its work: check before you run again."
    deaths = evidence.deaths(facts.found, facts.run)
    if deaths:
        yield f"The server died ({conditions.shorten(deaths[0], 300)}): mend that. Its log: {_logs(facts)}"
    else:
        yield f"See whether the server's process died: {_logs(facts)}"


def _server_down(facts: Facts) -> Iterator[str]:
    yield f"See why the server's program does not run: {_logs(facts)}"
    describe = facts.kubectl(f"describe mcpservers.mcp-orchestrator.io {facts.server}")
    yield f"See what the server says of itself: {describe}"


def _protocol(facts: Facts) -> Iterator[str]:
    listed = facts.kubectl(f"get mcpserver {facts.server} -o jsonpath='{{.status.tools[*].name}}'")
    yield f"Check that tool {facts.task.tool} still exists and takes these arguments: {listed}"
    yield f"See what the server itself says: {_logs(facts)}"


def _schema(facts: Facts) -> Iterator[str]:
    yield (
        f"The result of tool {facts.task.tool} breaks the schema that the tool itself declares: report it to the "
        f"makers of server {facts.server}, or use another version of it."
    )


def _tool(facts: Facts) -> Iterator[str]:
    if facts.task.success_when:
        yield f"The tool answered, and successWhen of task {facts.task.name} does not hold for it: {_mend(facts)}"
        return
    yield f"The tool itself reported the failure: {_mend(facts)}"


def _mend(facts: Facts) -> str:
    return (
        f"mend the arguments of task {facts.task.name}, or what the message names; if it may pass by itself, let the "
        "task retry with onErrors: [Tool]."
    )


def _input(facts: Facts) -> Iterator[str]:
    yield (
        f"Tool {facts.task.tool} asks a person for input, which a run can't give: use another tool, or give the answer "
        f"as an argument of task {facts.task.name}."
    )


def _too_large(facts: Facts) -> Iterator[str]:
    yield f"Ask tool {facts.task.tool} for less: narrow the arguments of task {facts.task.name}."


def _expression(facts: Facts) -> Iterator[str]:
    shown = facts.kubectl(f"get workflowrun {facts.run.metadata.name} -o jsonpath='{{.status.tasks}}'")
    yield f"Mend the expression of task {facts.task.name} that the message names. What the tasks returned: {shown}"


def _runner(facts: Facts) -> Iterator[str]:
    yield f"See the log of the run's pod: {facts.kubectl(f'logs job/{facts.run.status.job_name}')}"


def _cancelled(facts: Facts) -> Iterator[str]:
    yield f"Task {facts.task.name} was stopped from outside and is not to blame: create the run again."


_BY_CLASS: dict[ErrorClass, Callable[[Facts], Iterator[str]]] = {
    ErrorClass.CONNECT: _connect,
    ErrorClass.BUSY: _busy,
    ErrorClass.AUTH: _auth,
    ErrorClass.TIMEOUT: _timeout,
    ErrorClass.TRANSPORT: _transport,
    ErrorClass.SERVER_DOWN: _server_down,
    ErrorClass.PROTOCOL: _protocol,
    ErrorClass.SCHEMA: _schema,
    ErrorClass.TOOL: _tool,
    ErrorClass.INPUT_REQUIRED: _input,
    ErrorClass.RESULT_TOO_LARGE: _too_large,
    ErrorClass.EXPRESSION: _expression,
    ErrorClass.RUNNER: _runner,
    ErrorClass.CANCELLED: _cancelled,
}
