"""What happens to objects, as the API server tells it. Called by controllers.reflector and by `following`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum

import aiohttp
import orjson

from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import Object, Resource

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 75.0
"""A watch without a word for that long may be dead: mostly there is a bookmark every minute.

The API server promises none, and tells no version that is not newer than the watch's own: silence is no failure.
"""


class ChangeType(StrEnum):
    """What happened to an object."""

    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"
    """Nothing: all changes up to the version of this object, which has no more than that, were told."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change, and the object after it; of one that was deleted, its last state."""

    type: ChangeType
    object: Object

    @property
    def version(self) -> str:
        """The version of the collection at which the next watch goes on."""
        return str(self.object["metadata"]["resourceVersion"])


async def changes(
    client: Client,
    resource: Resource,
    namespace: str = "",
    *,
    since: str,
    label_selector: str = "",
    field_selector: str = "",
    seconds: int = 600,
) -> AsyncIterator[Change]:
    """The changes after the version `since`, until the watch ends: at the latest after so many seconds, or in silence.

    Raises Expired if that version is forgotten: list anew; Unavailable for a connection that breaks; and what else the
    API server answers.
    """
    selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
    params = {name: value for name, value in selectors.items() if value}
    params |= {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": since,
        "timeoutSeconds": str(seconds),
    }
    async for line in _lines(client, client.server + resource.path(namespace), params):
        yield _change(line)


def _change(line: bytes) -> Change:
    try:
        told = orjson.loads(line)
        type_, object_ = told["type"], told["object"]
        if type_ != "ERROR":
            return Change(ChangeType(type_), object_)
    except (ValueError, LookupError, TypeError) as error:
        raise errors.Unavailable(f"something else than the API server answered a watch: {error}") from error
    raise errors.from_response(object_.get("code") or 500, orjson.dumps(object_))


async def _lines(client: Client, url: str, params: dict[str, str]) -> AsyncIterator[bytes]:
    """The lines of the answer; an object may be larger than what aiohttp takes for a line."""
    patience = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENCE_SECONDS)
    try:
        async with client.watches.get(url, params=params, timeout=patience) as response:
            if response.status != 200:
                body = await response.read()
                raise errors.from_response(response.status, body, response.headers.get("Retry-After"))
            rest = b""
            async for chunk in response.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
    except aiohttp.SocketTimeoutError:
        return
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise errors.Unavailable(f"the watch of {url} broke: {type(error).__name__} {error}".rstrip()) from error
