"""Quotas that let nobody make an object of some kind in a namespace."""

from __future__ import annotations

from typing import Any

from mcp_orchestrator.cluster.resources import Resource

RESOURCE_QUOTAS = Resource("", "v1", "resourcequotas", "ResourceQuota")


def a_quota(name: str, namespace: str, plural: str) -> dict[str, Any]:
    """A quota of none; `plural` with the group of its kind, if it has one."""
    metadata = {"name": name, "namespace": namespace}
    spec = {"hard": {f"count/{plural}": "0"}}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec}
