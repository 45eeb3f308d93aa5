"""Why a run failed, as it stands in status.diagnosis."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import Message, Model, Word
from mcp_orchestrator.api.moments import Moment


class Evidence(Model):
    """Something that was seen when the run failed."""

    time: Moment | None = Field(None, description="When it happened.")
    source: Annotated[str, StringConstraints(max_length=320)] = Field(
        description="What tells it, for example task search, MCPServer perplexity or pod research-1-x7k2p."
    )
    message: Annotated[str, StringConstraints(max_length=2048)] = Field(description="What it tells.")


class Diagnosis(Model):
    """Why a run failed, and what to do about it."""

    class_: Word = Field(alias="class", description="Kind of the failure.")
    task: Annotated[str, StringConstraints(max_length=512)] | None = Field(
        None, description="The first task that failed."
    )
    summary: Message = Field(description="What happened, in a sentence.")
    evidence: tuple[Evidence, ...] = Field(
        (),
        description="What was seen at that moment, secrets taken out.",
        max_length=32,
        json_schema_extra={"x-kubernetes-list-type": "atomic"},
    )
    recommendations: tuple[Annotated[str, StringConstraints(max_length=1024)], ...] = Field(
        (), description="What to do about it.", max_length=16
    )
