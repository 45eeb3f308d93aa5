"""Makes the child objects of servers and runs be as planned, and never touches anybody else's."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from typing import Any

import orjson

from mcp_orchestrator.api.base import OPERATOR_MANAGER
from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Resource
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.store import Key, Store

_RESOURCES: dict[str, Resource] = {
    resource.kind: resource for resource in (resources.JOBS, resources.DEPLOYMENTS, resources.SERVICES)
}


class ForeignObject(Exception):
    """An object of somebody else's stands where a child should be; the message is its kind and name."""


class DyingObject(Exception):
    """A child of an earlier object of the same name is still being deleted."""


class Children:
    """Creates and applies child objects; remembers what it applied, so that nothing is written twice."""

    def __init__(self, client: Client, store: Store) -> None:
        self._client = client
        self._store = store
        self._applied: dict[Key, tuple[str, str]] = {}

    async def create(self, child: Mapping[str, Any]) -> None:
        """Make the child exist; one that exists already is left as it is.

        Raises ForeignObject, DyingObject and the client's errors.
        """
        resource = _RESOURCES[child["kind"]]
        made: dict[str, Any] | None
        try:
            made = await self._client.create(resource, dict(child))
        except errors.AlreadyExists:
            made = await self._own(resource, child)
        if made:
            self._store.upsert(resource.kind, made)

    async def delete(self, child: Mapping[str, Any]) -> None:
        """Delete that very child; it stays to be seen, as one that is being deleted, until its pods have ended."""
        resource, metadata = _RESOURCES[child.get("kind", resources.JOBS.kind)], child["metadata"]
        with contextlib.suppress(errors.NotFound, errors.Conflict):
            await self._client.delete(
                resource, metadata["name"], metadata["namespace"], uid=metadata["uid"], propagation="Foreground"
            )

    async def apply(self, child: Mapping[str, Any]) -> None:
        """Make the child be as planned: applied if it is missing, or if the plan or the object changed.

        Raises ForeignObject, DyingObject and the client's errors.
        """
        resource = _RESOURCES[child["kind"]]
        key = Key(resource.kind, child["metadata"]["namespace"], child["metadata"]["name"])
        wanted = hashlib.sha256(orjson.dumps(child, option=orjson.OPT_SORT_KEYS)).hexdigest()
        present = self._store.get(key)
        if present is None or records.owner_uid(present) != records.owner_uid(dict(child)):
            present = await self._own(resource, child)
        if present and self._applied.get(key) == (wanted, _version(present)):
            return
        # Also the first write is an apply: a field that a POST sets can't be taken away by a later apply. One that
        # somebody else created in this very moment makes it a conflict.
        made = await self._client.apply(resource, dict(child), manager=OPERATOR_MANAGER, force=present is not None)
        self._store.upsert(resource.kind, made)
        self._applied[key] = (wanted, _version(made))

    def forget(self, key: Key) -> None:
        """The child's owner is gone."""
        self._applied.pop(key, None)

    async def _own(self, resource: Resource, child: Mapping[str, Any]) -> dict[str, Any] | None:
        """The object that has the child's name, if it is ours; None if there is none."""
        metadata = child["metadata"]
        try:
            found = await self._client.get(resource, metadata["name"], metadata["namespace"])
        except errors.NotFound:
            return None
        if records.owner_uid(found) == records.owner_uid(dict(child)):
            return found
        if found["metadata"].get("deletionTimestamp") or _had_such_an_owner(found, child):
            raise DyingObject(f"{resource.kind} {metadata['name']}")
        raise ForeignObject(f"{resource.kind} {metadata['name']}")


def _had_such_an_owner(found: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    """Whether the object belonged to an earlier object of the same kind and name: it is about to be collected."""
    owner = child["metadata"]["ownerReferences"][0]
    return any(
        (reference["kind"], reference["name"]) == (owner["kind"], owner["name"])
        for reference in found["metadata"].get("ownerReferences", ())
    )


def _version(record: Mapping[str, Any] | None) -> str:
    """What changes with the object's spec: its generation, or its resourceVersion for kinds that have none."""
    metadata = (record or {}).get("metadata", {})
    return str(metadata.get("generation") or metadata.get("resourceVersion", ""))
