"""Child objects as JSON: what the operator creates for servers and runs.

Every pod meets the `restricted` Pod Security Standard, mounts no token that it does not need, and has a read-only
root file system with a writable /tmp.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from mcp_orchestrator.api.base import API_VERSION, GROUP, RUNNER_MANAGER, ObjectMeta
from mcp_orchestrator.api.mcpserver import GATEWAY_PORT, SERVICE_PORT, MCPServer, RemoteHeader
from mcp_orchestrator.planning.children import podparts
from mcp_orchestrator.settings import Settings

SERVER_LABEL = f"{GROUP}/server"
PART_OF = {"app.kubernetes.io/part-of": "mcp-orchestrator", "app.kubernetes.io/managed-by": "mcp-orchestrator"}


def owner(kind: str, metadata: ObjectMeta) -> list[dict[str, Any]]:
    """The owner reference that ties a child to its object, so that deletion takes it along."""
    return [
        {
            "apiVersion": API_VERSION,
            "kind": kind,
            "name": metadata.name,
            "uid": metadata.uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def server_labels(server: MCPServer) -> dict[str, str]:
    """Labels of everything that belongs to a server."""
    return {**PART_OF, "app.kubernetes.io/component": "server", SERVER_LABEL: server.metadata.name}


def server_selector(server: MCPServer) -> dict[str, str]:
    """Labels that pick a server's pods."""
    return {SERVER_LABEL: server.metadata.name}


def selector(server: MCPServer) -> str:
    """The label selector of a server's pods, as text."""
    return ",".join(f"{key}={value}" for key, value in server_selector(server).items())


def server_url(server: MCPServer) -> str:
    """Where clients in the cluster reach a server."""
    return f"http://{server.metadata.name}.{server.metadata.namespace}.svc:{SERVICE_PORT}/mcp"


def server_service(server: MCPServer) -> dict[str, Any]:
    """The Service in front of a server's gateways."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": _child_metadata(server),
        "spec": {
            "selector": server_selector(server),
            "ports": [{"name": "mcp", "port": SERVICE_PORT, "targetPort": "mcp", "protocol": "TCP"}],
        },
    }


def server_deployment(server: MCPServer, settings: Settings) -> dict[str, Any]:
    """The Deployment of a server's pods; without replicas where the spec leaves them to an autoscaler."""
    spec = server.spec
    pod: dict[str, Any] = {
        "securityContext": {**podparts.pod_security(), "fsGroup": podparts.UID},
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": _server_containers(server, settings),
        "volumes": [podparts.TMP_VOLUME, *(podparts.volume(volume) for volume in spec.volumes)],
    }
    if spec.service_account_name:
        pod["serviceAccountName"] = spec.service_account_name
    if spec.image_pull_secrets:
        pod["imagePullSecrets"] = [reference.wire() for reference in spec.image_pull_secrets]
    pod |= podparts.placement(spec.node_selector, spec.tolerations)
    deployment: dict[str, Any] = {
        "selector": {"matchLabels": server_selector(server)},
        "template": {"metadata": {"labels": server_labels(server)}, "spec": pod},
    }
    if spec.replicas is not None:
        deployment["replicas"] = spec.replicas
    if any(volume.persistent_volume_claim for volume in spec.volumes):
        # Most claims are for one node at a time: on another node a new pod would wait for the old one's end for ever.
        deployment["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _child_metadata(server), "spec": deployment}


def gateway_configuration(server: MCPServer) -> dict[str, Any]:
    """What the gateway reads from its environment: see mcp_orchestrator.gateway.config."""
    spec = server.spec
    configuration: dict[str, Any] = {
        "name": server.metadata.name,
        "namespace": server.metadata.namespace,
        "protocol": str(spec.protocol),
        "timeoutSeconds": spec.timeout_seconds,
        "healthCheck": {
            "intervalSeconds": spec.health_check.interval_seconds,
            "timeoutSeconds": spec.health_check.timeout_seconds,
        },
    }
    if spec.stdio:
        configuration["stdio"] = {"command": spec.stdio.command, "args": list(spec.stdio.args)}
    elif spec.http:
        configuration["http"] = {"url": f"http://127.0.0.1:{spec.http.port}{spec.http.path}"}
    elif spec.remote:
        configuration["remote"] = {
            "url": spec.remote.url,
            "allowPrivate": spec.remote.allow_private,
            "headers": [
                {"name": header.name, "prefix": header.prefix, "env": header_variable(number)}
                for number, header in enumerate(spec.remote.headers)
            ],
        }
    return configuration


def job_name(run_name: str, run_uid: str, attempt: int) -> str:
    """A name that is the same for the same attempt of the same run, and for no other: at most 63 characters."""
    digest = hashlib.sha256(f"{run_uid}/{attempt}".encode()).hexdigest()[:10]
    return f"{run_name[:40].rstrip('-.').replace('.', '-')}-{digest}"


def runner_account(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The service account of a namespace's runners, and what binds it to the chart's ClusterRole."""
    metadata = {"name": RUNNER_MANAGER, "namespace": namespace, "labels": dict(PART_OF)}
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata,
        "automountServiceAccountToken": True,
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": RUNNER_MANAGER},
        "subjects": [{"kind": "ServiceAccount", "name": RUNNER_MANAGER, "namespace": namespace}],
    }
    return account, binding


def _child_metadata(server: MCPServer) -> dict[str, Any]:
    return {
        "name": server.metadata.name,
        "namespace": server.metadata.namespace,
        "labels": server_labels(server),
        "ownerReferences": owner("MCPServer", server.metadata),
    }


def _server_containers(server: MCPServer, settings: Settings) -> list[dict[str, Any]]:
    spec = server.spec
    own = {
        "env": [variable.wire() for variable in spec.env],
        "resources": podparts.resources(spec.resources),
        "volumeMounts": [podparts.mount(volume) for volume in spec.volumes],
    }
    if spec.http:
        program: dict[str, Any] = {
            "name": "server",
            "image": spec.http.image,
            "imagePullPolicy": settings.image_pull_policy,
            "ports": [{"name": "upstream", "containerPort": spec.http.port, "protocol": "TCP"}],
            "securityContext": podparts.container_security(),
            **own,
        }
        program["volumeMounts"] = [podparts.TMP_MOUNT, *own["volumeMounts"]]
        if spec.http.command:
            program["command"] = list(spec.http.command)
        if spec.http.args:
            program["args"] = list(spec.http.args)
        return [_gateway(server, settings, settings.image, {}), program]
    if spec.stdio:
        return [_gateway(server, settings, spec.stdio.image or settings.image, own)]
    headers = spec.remote.headers if spec.remote else ()
    own = {"env": [_header(number, header) for number, header in enumerate(headers)]}
    return [_gateway(server, settings, settings.image, own | {"resources": podparts.resources(spec.resources)})]


def _gateway(server: MCPServer, settings: Settings, image: str, own: Mapping[str, Any]) -> dict[str, Any]:
    # Kubernetes takes $(NAME) in a value for a variable, and $$ for a $.
    configuration = json.dumps(gateway_configuration(server), sort_keys=True).replace("$", "$$")
    return {
        "name": "gateway",
        "image": image,
        "imagePullPolicy": settings.image_pull_policy,
        "args": ["gateway"],
        "env": [
            {"name": "MCP_ORCHESTRATOR_GATEWAY", "value": configuration},
            {"name": "MCP_ORCHESTRATOR_LOG_LEVEL", "value": settings.log_level},
            {"name": "MCP_ORCHESTRATOR_MODE", "value": settings.mode},
            *own.get("env", ()),
        ],
        "ports": [{"name": "mcp", "containerPort": GATEWAY_PORT, "protocol": "TCP"}],
        "readinessProbe": {
            "httpGet": {"path": "/readyz", "port": "mcp"},
            "periodSeconds": 2,
            "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": "/livez", "port": "mcp"},
            "initialDelaySeconds": 15,
            "periodSeconds": 10,
            "timeoutSeconds": 5,
        },
        "resources": own.get("resources") or podparts.resources(None),
        "securityContext": podparts.container_security(),
        "volumeMounts": [podparts.TMP_MOUNT, *own.get("volumeMounts", ())],
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def header_variable(number: int) -> str:
    """The variable that has the value of a header of a remote server."""
    return f"MCP_ORCHESTRATOR_HEADER_{number}"


def _header(number: int, header: RemoteHeader) -> dict[str, Any]:
    return {"name": header_variable(number), "valueFrom": {"secretKeyRef": header.secret_key_ref.wire()}}
