"""The parts of pods that our kinds let people set: chosen ones, since a whole pod template would make a huge CRD."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import ENVIRONMENT_NAME, Model, ObjectName

Text = Annotated[str, StringConstraints(max_length=4096)]
Path = Annotated[str, StringConstraints(pattern=r"^/", max_length=1024)]
Label = Annotated[str, StringConstraints(max_length=317)]
QUANTITY = r"^[+-]?[0-9.]+([eE][+-]?[0-9]+|[numkMGTPE]|[KMGTPE]i)?$"
"""A Kubernetes quantity. The API server answers others inside a Deployment with an internal error."""
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY, max_length=32)]


class KeySelector(Model):
    """A key of a Secret or ConfigMap in the same namespace."""

    name: ObjectName = Field(description="Name of the object.")
    key: Annotated[str, StringConstraints(min_length=1, max_length=253)] = Field(description="Key inside the object.")


class ValueSource(Model):
    """Where an environment variable's value comes from."""

    secret_key_ref: KeySelector | None = Field(None, description="A key of a Secret.")
    config_map_key_ref: KeySelector | None = Field(None, description="A key of a ConfigMap.")


class EnvironmentVariable(Model):
    """An environment variable of the server's process."""

    name: Annotated[str, StringConstraints(pattern=ENVIRONMENT_NAME, max_length=253)] = Field(
        description="Name of the variable. Names that begin with MCP_ORCHESTRATOR_ are the gateway's own."
    )
    value: Text | None = Field(None, description="The value itself. Never put a secret here: use valueFrom.")
    value_from: ValueSource | None = Field(
        None,
        description="The value's source: a key of a Secret or of a ConfigMap.",
        json_schema_extra={
            "x-kubernetes-validations": [
                {
                    "rule": "has(self.secretKeyRef) != has(self.configMapKeyRef)",
                    "message": "set exactly one of secretKeyRef and configMapKeyRef",
                }
            ]
        },
    )


class Resources(Model):
    """Compute resources of a container."""

    requests: dict[str, Quantity] = Field(
        default_factory=dict, description="What is reserved, for example cpu: 50m, memory: 128Mi.", max_length=16
    )
    limits: dict[str, Quantity] = Field(
        default_factory=dict, description="What may be used at most, for example memory: 512Mi.", max_length=16
    )


class Toleration(Model):
    """A node taint that the pods tolerate, as in a pod's spec."""

    key: Label | None = Field(None, description="Key of the taint; all keys if unset.")
    operator: Annotated[str, StringConstraints(pattern="^(Exists|Equal)$", max_length=16)] | None = Field(
        None, description="Exists or Equal."
    )
    value: Label | None = Field(None, description="Value of the taint, with operator Equal.")
    effect: (
        Annotated[str, StringConstraints(pattern="^(NoSchedule|PreferNoSchedule|NoExecute)$", max_length=16)] | None
    ) = Field(None, description="NoSchedule, PreferNoSchedule or NoExecute; all effects if unset.")
    toleration_seconds: int | None = Field(None, description="How long to stay after a NoExecute taint appears.")


class EmptyDir(Model):
    """Scratch space that lives as long as the pod."""

    size_limit: Quantity | None = Field(None, description="The most it may hold, for example 100Mi.")


class NamedReference(Model):
    """An object of the same namespace, by name."""

    name: ObjectName = Field(description="Name of the object.")


class Volume(Model):
    """A directory that is mounted into the server's container. Exactly one source is set."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)] = Field(
        description="Name of the volume, unique in the server."
    )
    mount_path: Path = Field(description="Where it appears in the container.")
    read_only: bool = Field(False, description="Whether the server may only read it.")
    empty_dir: EmptyDir | None = Field(None, description="Scratch space that lives as long as the pod.")
    persistent_volume_claim: NamedReference | None = Field(
        None, description="A PersistentVolumeClaim. With one, an old pod ends before a new one takes its place."
    )
    config_map: NamedReference | None = Field(None, description="A ConfigMap, one file for each key.")
    secret: NamedReference | None = Field(None, description="A Secret, one file for each key.")
