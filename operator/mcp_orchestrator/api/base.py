"""What all three kinds share: names, the model base class, metadata and the bounded types of their fields."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)
from pydantic.alias_generators import to_camel

GROUP = "mcp-orchestrator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

OPERATOR_MANAGER = "mcp-orchestrator"
"""Field manager of everything that the operator applies."""
RUNNER_MANAGER = "mcp-orchestrator-runner"
"""Field manager of what a runner applies to its own run; also the name of its service account and ClusterRole."""
CLIENT_MANAGER = "mcp-orchestrator-cli"
"""Field manager of the orders that people give by the command line."""

TASK_NAME = r"^[a-zA-Z]([-_a-zA-Z0-9]*[a-zA-Z0-9])?$"
PARAMETER_NAME = r"^[a-zA-Z_][a-zA-Z0-9_]*$"
VARIABLE_NAME = r"^[a-zA-Z][a-zA-Z0-9_]*$"
OBJECT_NAME = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"


class Model(BaseModel):
    """A frozen value, camelCase on the wire, that reads what older and newer writers send."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        frozen=True,
        extra="ignore",
    )
    nullable: ClassVar[frozenset[str]] = frozenset()
    """Wire names of fields for which null is a value."""

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Null means "not set" to the API server, but for the fields that hold any JSON value."""
        fields: dict[str, Any] = handler(self)
        return {name: value for name, value in fields.items() if value is not None or name in self.nullable}

    def wire(self) -> dict[str, Any]:
        """The value as the JSON object that the API server takes: camelCase, and only what was set."""
        return self.model_dump(mode="json", by_alias=True, exclude_unset=True)


TaskName = Annotated[str, StringConstraints(pattern=TASK_NAME, max_length=63)]
VariableName = Annotated[str, StringConstraints(pattern=VARIABLE_NAME, max_length=63)]
Expression = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
"""A CEL expression; whether it is sound, planning.workflows.checks says."""
ParameterName = Annotated[str, StringConstraints(pattern=PARAMETER_NAME, max_length=63)]
ObjectName = Annotated[str, StringConstraints(pattern=OBJECT_NAME, max_length=253)]
ServerName = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=50)]
ToolName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Word = Annotated[str, StringConstraints(max_length=128)]
Description = Annotated[str, StringConstraints(max_length=2048)]
Digest = Annotated[str, StringConstraints(max_length=80)]
Message = Annotated[str, StringConstraints(max_length=4096)]
Seconds = Annotated[int, Field(ge=1, le=604_800)]


def preserved(**extra: Any) -> dict[str, Any]:
    """Schema extras of a field that holds any JSON, kept as it is by the API server."""
    return {"x-kubernetes-preserve-unknown-fields": True, **extra}


ATOMIC = {"x-kubernetes-map-type": "atomic"}
"""Schema extras of a big object with one writer: server-side apply then keeps no record of each field in it."""


class OwnerReference(Model):
    """The owner of a child object."""

    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(Model):
    """The part of an object's metadata that we read."""

    name: str
    namespace: str = ""
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class TemplateReference(Model):
    """A WorkflowTemplate of the same namespace."""

    name: ObjectName = Field(description="Name of the WorkflowTemplate.")
