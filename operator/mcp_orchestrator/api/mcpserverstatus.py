"""The status of an MCPServer: whether it can be called, with what, and why not."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import Digest, Model, ToolName, preserved
from mcp_orchestrator.api.conditions import BY_TYPE, Condition
from mcp_orchestrator.api.moments import Moment


class ServerCondition(StrEnum):
    """Types of a server's conditions."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    AVAILABLE = "Available"
    VERIFIED = "Verified"


class ServerReason(StrEnum):
    """Why a server is in its state. A stable contract: programs match these words."""

    READY = "Ready"
    STARTING = "Starting"
    SCALED_TO_ZERO = "ScaledToZero"
    NOT_VERIFIED = "NotVerified"
    INVALID_SPEC = "InvalidSpec"
    NAME_CONFLICT = "NameConflict"
    POD_FAILED = "PodFailed"
    IMAGE_NOT_FOUND = "ImageNotFound"
    REFERENCE_NOT_FOUND = "ReferenceNotFound"
    UNREACHABLE = "Unreachable"
    COMMAND_NOT_FOUND = "CommandNotFound"
    PROCESS_EXITED = "ProcessExited"
    CONNECT = "Connect"
    UNAUTHORIZED = "Unauthorized"
    TIMEOUT = "Timeout"
    PROTOCOL = "Protocol"
    PRIVATE_ADDRESS = "PrivateAddress"
    SECRET_MISSING = "SecretMissing"  # noqa: S105 - the name of a reason


class Address(Model):
    """Where clients reach the server."""

    url: str = Field(description="The MCP endpoint, Streamable HTTP.", max_length=512)


class ServerInfo(Model):
    """What the server says of itself."""

    name: str = Field("", description="Name of the implementation.", max_length=512)
    version: str = Field("", description="Version of the implementation.", max_length=256)
    protocol_version: str = Field("", description="MCP revision that was agreed on.", max_length=32)


class Tool(Model):
    """A tool as the server describes it."""

    name: ToolName = Field(description="Name of the tool.")
    digest: Digest = Field(description="SHA-256 of the tool's whole definition.")
    description: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="The beginning of the tool's own description."
    )
    read_only: bool | None = Field(None, description="Whether the tool says that it changes nothing.")
    idempotent: bool | None = Field(
        None, description="Whether the tool says that a repeated call changes nothing more."
    )
    destructive: bool | None = Field(None, description="Whether the tool says that it may destroy data.")
    input_schema: dict[str, Any] | None = Field(
        None,
        description="JSON Schema of the arguments. Left out where it is larger than 8 KiB.",
        json_schema_extra=preserved(),
    )

    @property
    def repeatable(self) -> bool:
        """Whether it declares that it only reads, or that a repeated call is harmless."""
        return bool(self.read_only or self.idempotent)


class MCPServerStatus(Model):
    """What was observed."""

    observed_generation: int = Field(-1, description="The metadata.generation that this status was computed from.")
    conditions: tuple[Condition, ...] = Field(
        (),
        description="Conditions: Ready, Reconciling, Stalled, Available, Verified.",
        max_length=16,
        json_schema_extra=BY_TYPE,
    )
    source: Annotated[str, StringConstraints(max_length=16)] | None = Field(
        None, description="Which source is set: stdio, http or remote."
    )
    address: Address | None = Field(None, description="Where clients reach the server.")
    server_info: ServerInfo | None = Field(None, description="What the server says of itself.")
    tools: tuple[Tool, ...] = Field(
        (),
        description="The tools of the server, by name. The last known ones while it can't be reached.",
        max_length=512,
    )
    tool_count: int | None = Field(None, description="Number of tools.")
    tools_digest: Digest | None = Field(None, description="SHA-256 over the definitions of all tools.")
    last_probe_time: Moment | None = Field(
        None, description="When the server was last checked, at the time of this status. Not written for each check."
    )
    response_time_milliseconds: int | None = Field(None, description="How long the last recorded check took.")
    consecutive_failures: int | None = Field(None, description="Checks that failed since the last good one.")
    replicas: int | None = Field(None, description="Number of pods.")
    ready_replicas: int | None = Field(None, description="Number of pods that are ready.")
    selector: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="Label selector of the pods, for the scale subresource."
    )
