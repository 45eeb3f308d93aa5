"""What the store keeps of each kind, and who is woken by a change of what. Called by controllers.operator."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from mcp_orchestrator.api.control import ConcurrencyPolicy
from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowrunstatus import FINAL_PHASES, RunPhase
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.cluster import resources
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.children.manifests import SERVER_LABEL
from mcp_orchestrator.planning.children.runjob import RUN_LABEL
from mcp_orchestrator.planning.queue import admission, concurrency
from mcp_orchestrator.planning.queue.admission import Pools
from mcp_orchestrator.planning.queue.concurrency import Rival, Rivals
from mcp_orchestrator.planning.templates import cleanup

SERVER = resources.MCP_SERVERS.kind
TEMPLATE = resources.WORKFLOW_TEMPLATES.kind
RUN = resources.WORKFLOW_RUNS.kind
JOB = resources.JOBS.kind
DEPLOYMENT = resources.DEPLOYMENTS.kind
SERVICE = resources.SERVICES.kind

OWN_KINDS = (SERVER, TEMPLATE, RUN)
CHILDREN: Mapping[Resource, str] = {
    resources.JOBS: RUN_LABEL,
    resources.DEPLOYMENTS: SERVER_LABEL,
    resources.SERVICES: SERVER_LABEL,
}
"""What our objects own and the store keeps, and the label by which it is found."""
PAGE_SIZE = 100
"""How many objects of a list are there as they came, all at once: the memory of a start depends on it."""

Json = dict[str, Any]


def new_store() -> Store:
    """An empty store that knows our kinds."""
    store = Store()
    store.register(SERVER, slim=lambda body: read(MCPServer, body), indexes={"namespace": _namespace_of})
    store.register(
        TEMPLATE,
        slim=lambda body: read(WorkflowTemplate, body),
        indexes={"namespace": _namespace_of, "server": _servers_of, "template": _templates_of},
    )
    indexes = {"state": _state_of, "template": _template_of, "ended": _ended_of, "resumed": _resumed_of}
    store.register(RUN, slim=slim_run, indexes=indexes)
    store.register(JOB, slim=slim_job)
    store.register(DEPLOYMENT, slim=lambda body: _only(body, "metadata", "status"))
    store.register(SERVICE, slim=lambda body: _only(body, "metadata"))
    return store


def slim_run(body: Json) -> Json:
    """A run as the store keeps it: an ended one shrinks to its outline, for only its clean-up is left to decide."""
    status = body.get("status", {})
    if not is_final(body):
        whole = _only(body, "metadata", "spec", "status")
        if "conditions" in status:
            conditions = [_condition(*condition.items()) for condition in status["conditions"]]
            whole["status"] = _shared(status) | {"conditions": conditions}
        return whole
    known = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    kept = ("phase", "admittedAt", "completionTime", "observedGeneration")
    more = cleanup.outline(body)
    return {
        "metadata": {name: body["metadata"][name] for name in known if name in body["metadata"]} | more["metadata"],
        "spec": {"templateRef": body.get("spec", {}).get("templateRef")} | more["spec"],
        "status": {name: status[name] for name in kept if name in status} | more["status"],
    }


def _shared(fields: Json) -> Json:
    """The same with its texts, which thousands of runs may have in common, in memory once."""
    return {name: sys.intern(value) if isinstance(value, str) else value for name, value in fields.items()}


@functools.lru_cache(maxsize=4096)
def _condition(*items: tuple[str, Any]) -> Json:
    """One object for all conditions that are alike, as those of runs are that came in the same second."""
    return _shared(dict(items))


def slim_job(body: Json) -> Json:
    """A Job as the store keeps it: whose it is, whether it may have pods, and whether it has ended.

    On its way there it changes many times.
    """
    suspended = {"spec": {"suspend": True}} if body.get("spec", {}).get("suspend") else {}
    known = ("name", "namespace", "uid", "creationTimestamp", "ownerReferences", "deletionTimestamp")
    return {
        "metadata": {name: body["metadata"][name] for name in known if name in body["metadata"]},
        "status": {"conditions": body.get("status", {}).get("conditions", [])},
        **suspended,
    }


def is_final(body: Json) -> bool:
    """Whether the run has ended."""
    return body.get("status", {}).get("phase") in FINAL_PHASES


def is_active(body: Json) -> bool:
    """Whether the run holds a slot."""
    return "admittedAt" in body.get("status", {}) and not is_final(body)


def pools(body: Json | None) -> Pools:
    """The pools that a run has a place in; none for one without a slot.

    As planning.queue.candidates.pools, of a body that is not read: this is asked with each change of a run.
    """
    if body is None or not is_active(body):
        return ()
    metadata, status = body["metadata"], body["status"]
    servers = [server["name"] for server in status.get("servers", ())]
    return admission.pools_of(
        metadata.get("namespace", ""),
        template_of(body),
        servers,
        queued_elsewhere="kueueQueue" in status,
    )


def without_places(store: Store) -> list[Key]:
    """The unfinished runs that have no place in any pool."""
    return [key for key in store.keys(RUN) if not is_final(store.get(key)) and not is_active(store.get(key))]


def rivals(store: Store, run: WorkflowRun) -> Rivals | None:
    """The other unfinished runs of the run's template, if that says what becomes of those that are too many."""
    namespace, reference = run.metadata.namespace, run.spec.template_ref
    template = store.get(Key(TEMPLATE, namespace, reference.name)) if reference else None
    if not isinstance(template, WorkflowTemplate):
        return None
    limits = template.spec.concurrency
    if limits is None or limits.max_runs is None or limits.policy == ConcurrencyPolicy.QUEUE:
        return None
    found = store.select(RUN, "template", (namespace, template.metadata.name))
    mine = store.get(Key(RUN, namespace, run.metadata.name))
    if key := run.spec.idempotency_key:
        found = [other for other in found if other["spec"].get("idempotencyKey") != key]
    return concurrency.rivals(limits, _rival(mine), map(_rival, found)) if mine else None


def _rival(run: Json) -> Rival:
    metadata, phase = run["metadata"], run.get("status", {}).get("phase", "")
    return Rival(metadata.get("creationTimestamp", ""), not is_active(run), metadata["name"], phase)


def owner_uid(record: Json) -> str:
    """UID of the object that controls `record`; empty if none does."""
    owners = record.get("metadata", {}).get("ownerReferences", ())
    return next((owner["uid"] for owner in owners if owner.get("controller")), "")


class Waker:
    """Turns a change in the store into the keys that must be looked at again."""

    def __init__(self, store: Store, wake: Callable[[Key], None]) -> None:
        self._store = store
        self._wake = wake
        store.listen(self.changed)

    def changed(self, key: Key, old: Any, new: Any) -> None:
        """Wake whatever depends on `key`."""
        for woken in self._woken(key, new if new is not None else old):
            self._wake(woken)

    def _woken(self, key: Key, record: Any) -> Iterator[Key]:
        if key.kind in OWN_KINDS:
            yield key
        if key.kind == SERVER:
            yield from self._store.select_keys(TEMPLATE, "server", (key.namespace, key.name))
        if key.kind == TEMPLATE:
            yield from self._store.select_keys(TEMPLATE, "template", (key.namespace, key.name))
        if key.kind in (SERVER, TEMPLATE):
            yield from self._store.select_keys(RUN, "state", ("waiting", key.namespace))
        if key.kind == TEMPLATE:
            yield from self._store.select_keys(RUN, "template", (key.namespace, key.name))
        if key.kind in (JOB, DEPLOYMENT, SERVICE):
            yield from _owners(key, record)


def _owners(key: Key, record: Json) -> Iterator[Key]:
    for owner in record.get("metadata", {}).get("ownerReferences", ()):
        if owner.get("controller") and owner.get("kind") in OWN_KINDS:
            yield Key(owner["kind"], key.namespace, owner["name"])


def _namespace_of(found: MCPServer | WorkflowTemplate | Unreadable) -> Iterable[Hashable]:
    return (found.metadata.namespace,)


def _servers_of(template: WorkflowTemplate | Unreadable) -> Iterable[Hashable]:
    if isinstance(template, Unreadable):
        return ()
    return {(template.metadata.namespace, task.server) for task in template.spec.every_task if task.server}


def _templates_of(template: WorkflowTemplate | Unreadable) -> Iterable[Hashable]:
    """The templates that the tasks of one run: it is looked at again when one of these changes."""
    if isinstance(template, Unreadable):
        return ()
    return {(template.metadata.namespace, task.template.name) for task in template.spec.every_task if task.template}


def _state_of(run: Json) -> Iterable[Hashable]:
    """Active runs are counted against the limit; waiting ones are woken by changes of servers and templates."""
    if is_active(run):
        return ("active",)
    if run.get("status", {}).get("phase") == RunPhase.PENDING:
        return (("waiting", run["metadata"].get("namespace", "")),)
    return ()


def _template_of(run: Json) -> Iterable[Hashable]:
    """Unfinished runs that nobody holds are known by their template: they are rivals where it says so.

    One with a key is none before it is known that it will be executed.
    """
    spec = run.get("spec", {})
    reference, phase = spec.get("templateRef"), run.get("status", {}).get("phase")
    held = spec.get("suspend") or ("idempotencyKey" in spec and phase != RunPhase.QUEUED)
    if is_final(run) or not reference or (held and not is_active(run)):
        return ()
    return ((run["metadata"].get("namespace", ""), reference["name"]),)


def template_of(run: Json) -> str:
    """Name of the run's WorkflowTemplate; empty for a workflow that stands in the run itself."""
    return str((run.get("spec", {}).get("templateRef") or {}).get("name", ""))


def _ended_of(run: Json) -> Iterable[Hashable]:
    """Ended runs are cleaned up together with those of the same template."""
    return ((run["metadata"].get("namespace", ""), template_of(run)),) if is_final(run) else ()


def _resumed_of(run: Json) -> Iterable[Hashable]:
    """A run may read results of the one that it resumes, for as long as it has any itself."""
    resumed = run.get("spec", {}).get("resumeFrom")
    if not resumed or cleanup.is_pruned(run.get("status", {})):
        return ()
    return ((run["metadata"].get("namespace", ""), resumed),)


def _only(body: Json, *names: str) -> Json:
    kept = {name: body[name] for name in names if name in body}
    metadata = kept.get("metadata", {})
    if "managedFields" in metadata:
        kept["metadata"] = {name: value for name, value in metadata.items() if name != "managedFields"}
    return kept
