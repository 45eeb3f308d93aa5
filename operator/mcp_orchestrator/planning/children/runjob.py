"""The Job of one attempt of a run. Called by planning.runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mcp_orchestrator.api.base import GROUP, RUNNER_MANAGER
from mcp_orchestrator.api.cache import CacheMode
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.planning.children import manifests, podparts
from mcp_orchestrator.settings import ObjectStore, Settings

START_SECONDS = 300
"""How long a run's pod may take to be placed, to fetch its image and to start."""
RUN_LABEL = f"{GROUP}/run"
TEMPLATE_LABEL = f"{GROUP}/template"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
"""On a run that Kueue is to let in: the name of its LocalQueue."""
PRIORITY_LABEL = "kueue.x-k8s.io/priority-class"
"""On such a run: the name of its WorkloadPriorityClass."""
SCHEDULE_LABEL = f"{GROUP}/schedule"
"""On a run that a schedule started: the schedule's name."""
PARAMETERS = "/var/run/mcp-orchestrator/parameters"
"""Where the runner reads the parameters that stand in Secrets and ConfigMaps: a file for each, by its name."""
RESULTS = "/var/run/mcp-orchestrator/results"
"""Where the runner reads results of earlier attempts, and of the run that it resumes: a file for each, by digest."""
OBJECT_STORE_KEYS = {
    "AWS_ACCESS_KEY_ID": "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY": "AWS_SECRET_ACCESS_KEY",
    "MCP_ORCHESTRATOR_OBJECT_STORE_CA": "ca.crt",
}
"""The runner's variables for the object store, and the keys of the Secret that they come from."""
CACHE_KEYS = {
    "MCP_ORCHESTRATOR_CACHE_URL": "url",
    "MCP_ORCHESTRATOR_CACHE_KEY": "key",
    "MCP_ORCHESTRATOR_CACHE_CA": "ca.crt",
}
"""The runner's variables for the cache, and the keys of the Secret that they come from."""
READABLE = 0o440
"""For the runner alone, which has the group of its volumes."""


def queue_asked_for(run: WorkflowRun) -> str:
    """The queue of Kueue that the run is to wait in, by its label; empty if Kueue is to have no say in it.

    It counts when the run gets its slot: status.kueue_queue.
    """
    return run.metadata.labels.get(QUEUE_LABEL, "")


def run_job(
    run: WorkflowRun, *, timeout_seconds: int, seconds_left: int, traceparent: str, settings: Settings
) -> dict[str, Any]:
    """The Job of the run's present attempt. Its pod runs once: what is repeated is not the Job's decision."""
    metadata, template = run.metadata, run.status.template
    assert template  # noqa: S101 - an admitted run has both
    assert run.status.job_name  # noqa: S101 - likewise
    labels = {**manifests.PART_OF, "app.kubernetes.io/component": "run", RUN_LABEL: metadata.uid}
    if template.name and len(template.name) <= 63:
        labels[TEMPLATE_LABEL] = template.name
    workflows = (template.spec, *(nested.spec for nested in template.nested))
    last_seconds = sum(workflow.finally_timeout_seconds for workflow in workflows if workflow.finally_)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.status.job_name,
            "namespace": metadata.namespace,
            "labels": labels | _kueue(run),
            "ownerReferences": manifests.owner("WorkflowRun", metadata),
        },
        "spec": {
            **({"suspend": True} if run.status.kueue_queue else {}),
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            # The runner keeps the time itself, from its start on; this ends a pod that never starts or that hangs.
            # While the Job is suspended it does not count.
            "activeDeadlineSeconds": seconds_left + last_seconds + START_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": _pod(run, timeout_seconds, traceparent, settings),
            },
        },
    }


def _kueue(run: WorkflowRun) -> dict[str, str]:
    """Labels that Kueue reads off the Job."""
    if not (queue := run.status.kueue_queue):
        return {}
    priority = run.metadata.labels.get(PRIORITY_LABEL)
    return {QUEUE_LABEL: queue} | ({PRIORITY_LABEL: priority} if priority else {})


def _pod(run: WorkflowRun, timeout_seconds: int, traceparent: str, settings: Settings) -> dict[str, Any]:
    placement = run.status.template.spec.pod if run.status.template else None
    environment = {
        "RUN_NAME": run.metadata.name,
        "RUN_NAMESPACE": run.metadata.namespace,
        "RUN_TIMEOUT_SECONDS": str(timeout_seconds),
        "LOG_LEVEL": settings.log_level,
        "MODE": settings.mode,
        **(settings.object_store.environment() if settings.object_store else {}),
    }
    volumes = list(_volumes(run))
    container = {
        "name": "runner",
        "image": settings.image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["runner"],
        "env": [
            *({"name": f"MCP_ORCHESTRATOR_{key}", "value": value} for key, value in environment.items()),
            {"name": "TRACEPARENT", "value": traceparent},
            podparts.downward("MCP_ORCHESTRATOR_POD_NAME", "metadata.name"),
            podparts.downward("MCP_ORCHESTRATOR_POD_UID", "metadata.uid"),
            *_credentials(settings.object_store),
            *_cache(run, settings),
        ],
        "resources": podparts.resources(placement.resources if placement else None),
        "securityContext": podparts.container_security(),
        "volumeMounts": [podparts.TMP_MOUNT, *(_mount(volume["name"]) for volume in volumes)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": RUNNER_MANAGER,
        "enableServiceLinks": False,
        "securityContext": podparts.pod_security() | ({"fsGroup": podparts.UID} if volumes else {}),
        "containers": [container],
        "volumes": [podparts.TMP_VOLUME, *volumes],
    }
    return pod | (podparts.placement(placement.node_selector, placement.tolerations) if placement else {})


def _credentials(store: ObjectStore | None) -> Iterator[dict[str, Any]]:
    """The object store's credentials, by reference: the operator may read no Secret."""
    if store and store.secret_name:
        for name, key in OBJECT_STORE_KEYS.items():
            # Without them the pod starts all the same, and large results go into ConfigMaps.
            reference = {"name": store.secret_name, "key": key, "optional": True}
            yield {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _cache(run: WorkflowRun, settings: Settings) -> Iterator[dict[str, Any]]:
    """Where the cache is, by reference, since the operator may read no Secret; for a run that may use it."""
    if run.spec.cache == CacheMode.BYPASS:
        return
    yield {"name": "MCP_ORCHESTRATOR_CACHE_MAX_ANSWERS", "value": str(settings.cache_max_answers)}
    if settings.cache_secret:
        for name, key in CACHE_KEYS.items():
            # Without them the pod starts all the same, and the cache is the cluster's.
            reference = {"name": settings.cache_secret, "key": key, "optional": True}
            yield {"name": name, "valueFrom": {"secretKeyRef": reference}}


def _volumes(run: WorkflowRun) -> Iterator[dict[str, Any]]:
    """What the pod reads: parameters, and results of earlier pods."""
    if sources := [
        {kind: {"name": ref.name, "items": [{"key": ref.key, "path": source.name}]}}
        for source in run.spec.parameters_from
        for kind, ref in (("secret", source.secret_key_ref), ("configMap", source.config_map_key_ref))
        if ref
    ]:
        yield _projected("parameters", sources)
    if found := packs(run):
        # One that was deleted must not keep the pod from starting: the runner asks the tool again where it may.
        yield _projected("results", [{"configMap": {"name": pack, "optional": True}} for pack in found])


def packs(run: WorkflowRun) -> tuple[str, ...]:
    """The ConfigMaps that results of the run stand in, and of the run that it resumes; not what an object store has."""
    references = (task.result_ref for task in run.status.tasks if task.result_ref)
    own = {reference.partition("/")[0] for reference in references if "://" not in reference}
    return tuple(sorted(own | {*run.status.resumed_packs}))


def _projected(name: str, sources: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "projected": {"defaultMode": READABLE, "sources": sources}}


def _mount(name: str) -> dict[str, Any]:
    return {"name": name, "mountPath": {"parameters": PARAMETERS, "results": RESULTS}[name], "readOnly": True}
