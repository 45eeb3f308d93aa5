"""Each state of one object as it changes, over watches that end whenever they like. Called by the command line."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from mcp_orchestrator.cluster import errors, watch
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Object, Resource
from mcp_orchestrator.cluster.watch import Change, ChangeType

WATCH_SECONDS = 60
"""How long one watch is asked for; the next begins with the object as it is then, so nothing is missed for good."""
PAUSE_SECONDS = 1.0
PATIENCE_SECONDS = 120.0
"""How long an API server may be away, as in an upgrade, before that is an error."""


async def states(client: Client, resource: Resource, name: str, namespace: str) -> AsyncIterator[Object]:
    """The object as it is now, and after each change. Ends when it is gone, also if another has its name now.

    Raises NotFound if it is not there at first, and Unavailable once the API server is away for too long.
    """
    body = await client.get(resource, name, namespace)
    uid, clock = body["metadata"]["uid"], asyncio.get_running_loop().time
    yield body
    seen = clock()
    while True:
        try:
            async for change in _changes(client, resource, body):
                if change.type == ChangeType.DELETED:
                    return
                body, seen = change.object, clock()
                yield body
            newer = await client.get(resource, name, namespace)
        except errors.NotFound:
            return
        except errors.Unavailable as error:
            if clock() - seen > PATIENCE_SECONDS:
                raise errors.Unavailable(f"no answer for {PATIENCE_SECONDS:.0f} s: {error}") from error
            await asyncio.sleep(PAUSE_SECONDS)
            continue
        seen = clock()
        if newer["metadata"]["uid"] != uid:
            return
        if newer["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"]:
            body = newer
            yield body


async def _changes(client: Client, resource: Resource, body: Object) -> AsyncIterator[Change]:
    """The changes that one watch tells. What it can't tell, the next look at the object does."""
    metadata = body["metadata"]
    found = watch.changes(
        client,
        resource,
        metadata["namespace"],
        since=metadata["resourceVersion"],
        field_selector=f"metadata.name={metadata['name']}",
        seconds=WATCH_SECONDS,
    )
    try:
        async for change in found:
            if change.type != ChangeType.BOOKMARK:
                yield change
    except errors.Unavailable:
        raise
    except errors.ApiError:
        # That version is forgotten, or who looks may not watch.
        await asyncio.sleep(PAUSE_SECONDS)
