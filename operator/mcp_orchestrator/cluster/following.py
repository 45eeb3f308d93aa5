"""Each state of one object as it changes, over watches that end whenever they like. Called by the command line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp

from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client, Object
from mcp_orchestrator.cluster.resources import Resource

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
            async for change in _watched(client, resource, body):
                if change["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                    break
                if change["type"] == "DELETED":
                    return
                body, seen = change["object"], clock()
                yield body
            newer = await client.get(resource, name, namespace)
        except errors.NotFound:
            return
        except (errors.Unavailable, aiohttp.ClientError, TimeoutError, OSError) as error:
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


async def _watched(client: Client, resource: Resource, body: Object) -> AsyncIterator[Object]:
    """The changes that one watch tells. What it can't tell, the next look at the object does."""
    metadata = body["metadata"]
    params = {
        "watch": "true",
        "fieldSelector": f"metadata.name={metadata['name']}",
        "resourceVersion": metadata["resourceVersion"],
        "timeoutSeconds": str(WATCH_SECONDS),
    }
    url = client.server + resource.path(metadata["namespace"])
    patience = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=WATCH_SECONDS + 10)
    # An object of ours may be larger than what a line is given by default.
    async with client.session.get(url, params=params, timeout=patience) as response:
        if response.status != 200:
            await asyncio.sleep(PAUSE_SECONDS)
            return
        rest = b""
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield json.loads(line)
