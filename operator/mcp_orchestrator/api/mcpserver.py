"""MCPServer: a tool server that runs in pods, or that is reached at a remote address."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import Model, ObjectMeta, ObjectName, Seconds
from mcp_orchestrator.api.control import Limit
from mcp_orchestrator.api.mcpserverstatus import MCPServerStatus
from mcp_orchestrator.api.pods import (
    EnvironmentVariable,
    KeySelector,
    Label,
    NamedReference,
    Path,
    Resources,
    Text,
    Toleration,
    Volume,
)

ImageName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
GATEWAY_PORT = 15080
"""The port of the gateway in every server pod; a server container may use any other."""
SERVICE_PORT = 8080
"""The port of every server's Service."""


class Protocol(StrEnum):
    """MCP revisions that can be asked of a server."""

    AUTO = "Auto"
    V2025_11_25 = "2025-11-25"
    V2026_07_28 = "2026-07-28"


class StdioSource(Model):
    """A program that speaks MCP on its standard input and output."""

    command: Annotated[str, StringConstraints(min_length=1, max_length=1024)] = Field(
        description="The program to start, for example uvx, npx or mcp-server-time. No shell is involved."
    )
    args: tuple[Text, ...] = Field((), description="Its arguments.", max_length=64)
    image: ImageName | None = Field(
        None,
        description="The image that holds the program. It must be built from the MCP Orchestrator image, since the "
        "gateway runs beside the program. Default: the operator's own image, which has uvx and npx.",
    )


class HttpSource(Model):
    """A container that serves MCP over Streamable HTTP."""

    image: ImageName = Field(description="The image of the server.")
    port: int = Field(description="The port that the container listens on.", ge=1, le=65535)
    path: Path = Field("/mcp", description="The path of the MCP endpoint.")
    command: tuple[Text, ...] = Field((), description="Replaces the image's entry point.", max_length=64)
    args: tuple[Text, ...] = Field((), description="Replaces the image's arguments.", max_length=64)


class RemoteHeader(Model):
    """A header sent with every request to a remote server, its value taken from a Secret."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", max_length=128)] = Field(
        description="Name of the header, for example Authorization."
    )
    prefix: Annotated[str, StringConstraints(max_length=64)] = Field(
        "", description='Text before the secret value, for example "Bearer ".'
    )
    secret_key_ref: KeySelector = Field(description="The Secret's key that holds the value.")


class RemoteSource(Model):
    """A server that runs elsewhere."""

    url: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/?#]+[^\s#]*$", max_length=2048)] = Field(
        description="The address of its MCP endpoint. It must begin with https:// unless allowPrivate is set."
    )
    headers: tuple[RemoteHeader, ...] = Field(
        (),
        description="Headers with secret values, such as an API key.",
        max_length=16,
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    allow_private: bool = Field(
        False, description="Whether the address may be private, loopback or link-local, and plain http."
    )


class HealthCheck(Model):
    """How the server is checked while it runs."""

    interval_seconds: Annotated[int, Field(ge=5, le=86400)] = Field(
        60, description="Seconds between two checks of a healthy server."
    )
    timeout_seconds: Annotated[int, Field(ge=1, le=300)] = Field(10, description="Seconds that one check may take.")


class ServerRetry(Model):
    """When a call of this server that failed is made again, if the task does not say."""

    attempts: Annotated[int, Field(ge=1, le=20)] = Field(
        3, description="The most attempts to make one call, the first one counted."
    )
    backoff_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        1, description="Seconds before the second attempt; doubled for each further one, and spread by chance."
    )
    max_backoff_seconds: Annotated[int, Field(ge=0, le=3600)] = Field(
        30, description="The most seconds between two attempts, also where the server asks for more."
    )


class MCPServerSpec(Model):
    """What should run, or where it runs."""

    stdio: StdioSource | None = Field(
        None, description="A program that speaks MCP on standard input and output; it runs in a pod behind a gateway."
    )
    http: HttpSource | None = Field(None, description="A container that serves MCP over Streamable HTTP.")
    remote: RemoteSource | None = Field(None, description="A server that runs elsewhere, reached through a gateway.")
    env: tuple[EnvironmentVariable, ...] = Field(
        (),
        description="Environment variables of the server's process.",
        max_length=64,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(e, has(e.value) != has(e.valueFrom))",
                    "message": "every variable needs exactly one of value and valueFrom",
                },
                {
                    "rule": "self.all(e, !e.name.startsWith('MCP_ORCHESTRATOR_'))",
                    "message": "names that begin with MCP_ORCHESTRATOR_ are the gateway's own: choose another name",
                },
            ],
        },
    )
    replicas: Annotated[int, Field(ge=0, le=100)] | None = Field(
        None, description="Number of pods. Leave it unset when an autoscaler sets it; a new server starts with 1."
    )
    protocol: Protocol = Field(
        Protocol.AUTO, description="The MCP revision to speak with the server. Auto asks the server."
    )
    timeout_seconds: Seconds = Field(30, description="Seconds that one tool call may take when the task does not say.")
    retry: ServerRetry = Field(
        default_factory=ServerRetry, description="When a call that failed is made again, if the task does not say."
    )
    max_concurrent_runs: Limit | None = Field(
        None,
        description="The most runs at the same time that call the server. 0 holds all of them back. Default: no limit "
        "of its own.",
    )
    health_check: HealthCheck = Field(default_factory=HealthCheck, description="How the server is checked.")
    resources: Resources | None = Field(None, description="Compute resources of the server's container.")
    node_selector: dict[str, Label] = Field(
        default_factory=dict, description="Labels that a node must have.", max_length=32
    )
    tolerations: tuple[Toleration, ...] = Field((), description="Node taints that the pods tolerate.", max_length=32)
    service_account_name: ObjectName | None = Field(
        None, description="Service account of the pods. Its token is not mounted."
    )
    image_pull_secrets: tuple[NamedReference, ...] = Field(
        (), description="Secrets with registry credentials.", max_length=16
    )
    volumes: tuple[Volume, ...] = Field(
        (),
        description="Directories for the server's container.",
        max_length=16,
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "x-kubernetes-validations": [
                {
                    "rule": "self.all(v, [has(v.emptyDir), has(v.persistentVolumeClaim), has(v.configMap), "
                    "has(v.secret)].exists_one(x, x))",
                    "message": "every volume needs exactly one of emptyDir, persistentVolumeClaim, configMap, secret",
                },
                {
                    "rule": "self.all(v, v.name != 'tmp' && v.mountPath != '/tmp')",
                    "message": "the name tmp and the path /tmp are taken by the writable directory of every server",
                },
            ],
        },
    )

    @property
    def source(self) -> str:
        """Which of the three sources is set: stdio, http or remote."""
        return "stdio" if self.stdio else "http" if self.http else "remote"


class MCPServer(Model):
    """A tool server that runs in pods, or that is reached at a remote address."""

    metadata: ObjectMeta
    spec: MCPServerSpec
    status: MCPServerStatus = Field(default_factory=MCPServerStatus)


SPEC_RULES = (
    {
        "rule": "[has(self.stdio), has(self.http), has(self.remote)].exists_one(x, x)",
        "message": "set exactly one of stdio, http and remote",
    },
    {
        "rule": f"!has(self.http) || self.http.port != {GATEWAY_PORT}",
        "message": f"http.port {GATEWAY_PORT} is the gateway's: let the container listen on another port",
    },
    {
        "rule": "!has(self.remote) || self.remote.url.startsWith('https://') || "
        "(has(self.remote.allowPrivate) && self.remote.allowPrivate)",
        "message": "remote.url must begin with https://, or set remote.allowPrivate for an address inside the cluster",
    },
    {
        "rule": "!has(self.remote) || (!has(self.env) && !has(self.volumes))",
        "message": "a remote server has no process here: env and volumes have no meaning for it",
    },
)
