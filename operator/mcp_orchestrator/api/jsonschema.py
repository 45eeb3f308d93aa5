"""The three kinds as JSON Schema (2020-12), for editors and for checks without a cluster.

Made from the CRDs, so that both say the same. Stricter in one thing: no field is taken that the kind does not have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mcp_orchestrator.api import crds
from mcp_orchestrator.api.base import API_VERSION, OBJECT_NAME

_LEFT_OUT = ("format", "nullable", "properties", "items", "additionalProperties")
_TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
_OF_SERVER = (
    "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
    "managedFields", "selfLink", "ownerReferences", "finalizers",
)  # fmt: skip
_METADATA: Mapping[str, Any] = {
    "type": "object",
    "description": "Name, namespace, labels and annotations of the object.",
    "properties": {
        "name": {
            "type": "string",
            "description": "Name of the object, unique in its namespace.",
            "pattern": OBJECT_NAME,
            "maxLength": 253,
        },
        "generateName": {"type": "string", "description": "What the name begins with, where the cluster makes it up."},
        "namespace": {"type": "string", "description": "Namespace of the object. Default: that of kubectl."},
        "labels": {**_TEXTS, "description": "Words by which objects are selected."},
        "annotations": {**_TEXTS, "description": "What programs and people note on the object."},
        **{name: {"description": "Written by the cluster."} for name in _OF_SERVER},
    },
    "additionalProperties": False,
    "anyOf": [{"required": ["name"]}, {"required": ["generateName"]}],
}


def schema(kind: crds.Kind) -> dict[str, Any]:
    """The JSON Schema of the whole object."""
    root = crds.root_schema(kind)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": kind.name,
        "description": root["description"],
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION, "description": root["properties"]["apiVersion"]["description"]},
            "kind": {"const": kind.name, "description": root["properties"]["kind"]["description"]},
            "metadata": dict(_METADATA),
            "spec": closed(root["properties"]["spec"]),
            "status": {"type": "object", "description": "What was observed. Written by the cluster, never by you."},
        },
        "additionalProperties": False,
    }


def closed(structural: Mapping[str, Any]) -> dict[str, Any]:
    """A structural schema as JSON Schema that takes no other fields."""
    kept = {
        key: value for key, value in structural.items() if key not in _LEFT_OUT and not key.startswith("x-kubernetes-")
    }
    if structural.get("nullable") and "type" in kept:
        kept["type"] = [kept["type"], "null"]
    if structural.get("x-kubernetes-list-type") == "set":
        kept["uniqueItems"] = True
    if "items" in structural:
        kept["items"] = closed(structural["items"])
    if "properties" in structural:
        kept["properties"] = {name: closed(inner) for name, inner in structural["properties"].items()}
        kept["additionalProperties"] = False
    elif "additionalProperties" in structural:
        kept["additionalProperties"] = closed(structural["additionalProperties"])
    elif structural.get("type") == "object" and not structural.get("x-kubernetes-preserve-unknown-fields"):
        kept["additionalProperties"] = False
    return kept
