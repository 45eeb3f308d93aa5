"""Parts that the pods of servers and of runs have in common. Used by `manifests`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_orchestrator.api.base import Model
from mcp_orchestrator.api.pods import Volume

UID = 10001
DEFAULT_REQUESTS = {"requests": {"cpu": "10m", "memory": "128Mi"}}
TMP_VOLUME = {"name": "tmp", "emptyDir": {}}
TMP_MOUNT = {"name": "tmp", "mountPath": "/tmp"}  # noqa: S108 - a directory of the pod's own


def volume(declared: Volume) -> dict[str, Any]:
    """The pod's volume for a volume of a server."""
    if declared.persistent_volume_claim:
        source: dict[str, Any] = {"persistentVolumeClaim": {"claimName": declared.persistent_volume_claim.name}}
    elif declared.config_map:
        source = {"configMap": {"name": declared.config_map.name}}
    elif declared.secret:
        source = {"secret": {"secretName": declared.secret.name}}
    else:
        source = {"emptyDir": declared.empty_dir.wire() if declared.empty_dir else {}}
    return {"name": declared.name, **source}


def mount(declared: Volume) -> dict[str, Any]:
    """Where the server's container sees it."""
    where: dict[str, Any] = {"name": declared.name, "mountPath": declared.mount_path}
    return where | ({"readOnly": True} if declared.read_only else {})


def resources(asked: Model | None) -> dict[str, Any]:
    """What was asked for, else a small request and no limit."""
    return asked.wire() if asked else dict(DEFAULT_REQUESTS)


def placement(node_selector: Mapping[str, str], tolerations: tuple[Model, ...]) -> dict[str, Any]:
    """The fields of a pod's spec that choose its node."""
    chosen: dict[str, Any] = {}
    if node_selector:
        chosen["nodeSelector"] = dict(node_selector)
    if tolerations:
        chosen["tolerations"] = [toleration.wire() for toleration in tolerations]
    return chosen


def downward(name: str, path: str) -> dict[str, Any]:
    """An environment variable with a fact about the pod itself."""
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}


def pod_security() -> dict[str, Any]:
    """The security context of every pod of ours."""
    return {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "runAsGroup": UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """The security context of every container of ours."""
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
