"""What a gateway says at GET /status: the contract between the gateway and the operator."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AwareDatetime, Field, StringConstraints

from mcp_orchestrator.api.base import Digest, Model

Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z]+$", max_length=128)]


class ReportedServer(Model):
    """What the server said of itself in the handshake."""

    name: str = ""
    version: str = ""


class ReportedTool(Model):
    """A tool in full."""

    name: str
    title: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] = Field(default_factory=dict)
    output_schema: dict[str, Any] | None = None
    read_only: bool | None = None
    idempotent: bool | None = None
    destructive: bool | None = None
    digest: Digest = ""


class ReportedError(Model):
    """Why the last check failed."""

    class_: Word = Field(alias="class", description="A ServerReason, or a newer word.")
    message: str


class ReportedExit(Model):
    """How the server's process last ended while it was needed."""

    at: AwareDatetime
    message: str


class GatewayReport(Model):
    """The last check of the server behind a gateway: handshake and tool list over the protocol."""

    ok: bool
    starting: bool = False
    checked_at: AwareDatetime | None = None
    response_time_milliseconds: int | None = None
    consecutive_failures: int = 0
    restarts: int = 0
    server_info: ReportedServer | None = None
    protocol_version: str | None = None
    tools: tuple[ReportedTool, ...] = ()
    tools_digest: Digest | None = None
    error: ReportedError | None = None
    last_exit: ReportedExit | None = None
    last_lines: str = ""
    """What the process wrote last to its standard error, secrets taken out; empty for a server that is no process."""
