"""The one door to the API server: typed calls over aiohttp, with retries, metrics and a gate before each write.

Controllers, the runner, `lease` and `events` call it. Objects are the API's JSON as dicts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Self, TypeVar

import orjson

from mcp_orchestrator.cluster import config, errors, lists, resources, retry, transport
from mcp_orchestrator.cluster.lists import PAGE_SIZE, Listing, Page
from mcp_orchestrator.cluster.resources import Object

T = TypeVar("T")

LOG_BYTES = 64 * 1024
LIST_RESTARTS = 3
APPLY = "application/apply-patch+yaml"  # JSON is YAML
MERGE = "application/merge-patch+json"

_HIGH = re.compile(rb"[\x7f-\xff]")
_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Client:
    """Calls to one API server. Make it inside the event loop; use it as an async context manager, or `close` it.

    Every call raises the errors of `errors`; `gate` is called before each try of a write and raises NotLeader to stop
    it. A write takes at most 5 s a try, and the API server is told so: what a replica sends while it leads can't land
    after the next one has taken over.
    """

    def __init__(
        self,
        connection: config.Connection,
        *,
        gate: Callable[[], None] | None = None,
        pool_limit: int = 64,
        policy: retry.Policy | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self.connection = connection
        self.server = connection.server
        self.session = connection.new_session(limit=pool_limit)
        self.watches = connection.new_session(limit=0)
        """A watch holds its connection for long: it takes none from the requests."""
        self._transport = transport.Transport(
            self.server, self.session, gate=gate, policy=policy or retry.Policy(), sleep=sleep
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self.session.close()
        await self.watches.close()

    async def get(
        self, resource: resources.Resource, name: str, namespace: str = "", *, cached: bool = False
    ) -> Object:
        """One object; with `cached` as the API server remembers it, which costs less. Raises NotFound."""
        params = {"resourceVersion": "0"} if cached else {}
        return _decoded(await self._transport.call(transport.Request("GET", resource.path(namespace, name), params)))

    async def log(self, pod: str, namespace: str, *, container: str, lines: int) -> str:
        """The last lines that a container of a pod wrote. Raises NotFound, and Invalid for one that never ran."""
        params = {"container": container, "tailLines": str(lines), "limitBytes": str(LOG_BYTES)}
        path = resources.PODS.path(namespace, pod, "log")
        return (await self._transport.call(transport.Request("GET", path, params))).decode(errors="replace")

    async def list_pages(
        self,
        resource: resources.Resource,
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        as_table: bool = False,
        cached: bool = False,
    ) -> AsyncIterator[Page]:
        """The objects of a namespace or, without one, of all, in pages that show one moment.

        With `cached` in one page, as the API server has them at hand: they may be a moment old, and it need not wait.
        With `as_table` of each object its metadata only, and `cells`: what its kind's columns show, by their names.
        Begins anew if that moment is forgotten meanwhile (410); raises Expired if that happens again and again.
        """
        selectors = {"labelSelector": label_selector, "fieldSelector": field_selector}
        extent = {"resourceVersion": "0"} if cached else {"limit": str(limit)}
        params = extent | {name: value for name, value in selectors.items() if value}
        token, restarts = "", 0
        while True:
            request = transport.Request(
                "GET",
                resource.path(namespace),
                {**params, "continue": token} if token else params,
                accept=lists.TABLE if as_table else "",
            )
            try:
                answer = _decoded(await self._transport.call(request))
            except errors.Expired:
                restarts += 1
                if not token or restarts > LIST_RESTARTS:
                    raise
                token = ""
                continue
            yield lists.page(resource, answer, first=not token)
            token = answer["metadata"].get("continue") or ""
            if not token:
                return

    async def list_all(
        self,
        resource: resources.Resource,
        namespace: str = "",
        *,
        convert: Callable[[Object], T],
        label_selector: str = "",
        field_selector: str = "",
        limit: int = PAGE_SIZE,
        as_table: bool = False,
        cached: bool = False,
    ) -> Listing[T]:
        """The whole list, each item passed through `convert` as its page arrives, to hold one page at a time."""
        items: list[T] = []
        version = ""
        async for page in self.list_pages(
            resource,
            namespace,
            label_selector=label_selector,
            field_selector=field_selector,
            limit=limit,
            as_table=as_table,
            cached=cached,
        ):
            if page.first:
                items.clear()
            items.extend(map(convert, page.items))
            version = page.resource_version
        return Listing(items, version)

    async def count(self, resource: resources.Resource, namespace: str) -> int:
        """How many objects the namespace has of that kind, without reading them."""
        request = transport.Request("GET", resource.path(namespace), {"limit": "1"}, accept=lists.TABLE)
        answer = _decoded(await self._transport.call(request))
        return len(answer.get("rows") or ()) + int(answer["metadata"].get("remainingItemCount") or 0)

    async def create(self, resource: resources.Resource, body: Object) -> Object:
        """POST. Raises AlreadyExists.

        With a name in `body` the create is tried again after an uncertain failure. AlreadyExists may then come from the
        first try: get the object and compare its owner. Without a name, only if it can't have reached the API server.
        """
        metadata = body.get("metadata") or {}
        path = resource.path(metadata.get("namespace", ""))
        return await self._write("POST", path, body, repeatable=bool(metadata.get("name")))

    async def apply(
        self,
        resource: resources.Resource,
        body: Object,
        *,
        manager: str,
        force: bool = True,
        resource_version: str = "",
    ) -> Object:
        """Server-side apply of exactly the fields in `body` as `manager`: creates the object if it is not there.

        With `resource_version`, only if the object is still at that version. Raises Conflict for that, and without
        `force` for a field that has another manager. Tried again after an uncertain failure: a Conflict may then come
        from the first try, so read the object before giving up.
        """
        return await self._apply(resource, "", body, manager, force, resource_version)

    async def apply_status(
        self,
        resource: resources.Resource,
        body: Object,
        *,
        manager: str,
        force: bool = True,
        resource_version: str = "",
    ) -> Object:
        """`apply` of the status subresource: raises NotFound if the object is not there."""
        return await self._apply(resource, "status", body, manager, force, resource_version)

    async def merge(
        self, resource: resources.Resource, name: str, namespace: str, changes: Object, *, manager: str
    ) -> Object:
        """Set the fields in `changes` and leave all others alone, whoever else writes meanwhile; None removes one.

        Raises NotFound, and Invalid for what may not be changed so. Tried again after an uncertain failure.
        """
        path, params = resource.path(namespace, name), {"fieldManager": manager}
        return await self._write("PATCH", path, changes, params=params, content_type=MERGE)

    async def replace(self, resource: resources.Resource, body: Object) -> Object:
        """PUT of the whole object, only if it is still at the version in `body`. Raises Conflict, NotFound."""
        metadata = body["metadata"]
        return await self._write("PUT", resource.path(metadata.get("namespace", ""), metadata["name"]), body)

    async def delete(
        self,
        resource: resources.Resource,
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        propagation: str = "Background",
    ) -> None:
        """Delete, with `uid` only that very object, with `resource_version` only as it was then.

        Raises NotFound, and Conflict if it is another or another version.
        Tried again after an uncertain failure: NotFound may come from the first try, and means the same.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        conditions = {"uid": uid, "resourceVersion": resource_version}
        if asked := {name: value for name, value in conditions.items() if value}:
            options["preconditions"] = asked
        await self._write("DELETE", resource.path(namespace, name), options)

    async def _apply(
        self,
        resource: resources.Resource,
        subresource: str,
        body: Object,
        manager: str,
        force: bool,
        resource_version: str,
    ) -> Object:
        metadata = body["metadata"]
        sent = {"apiVersion": resource.api_version, "kind": resource.kind, **body}
        if resource_version:
            sent["metadata"] = {**metadata, "resourceVersion": resource_version}
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        params = {"fieldManager": manager, "force": "true" if force else "false"}
        return await self._write("PATCH", path, sent, params=params, content_type=APPLY)

    async def _write(
        self,
        method: str,
        path: str,
        body: Object,
        *,
        params: dict[str, str] | None = None,
        content_type: str = transport.JSON,
        repeatable: bool = True,
    ) -> Object:
        request = transport.Request(
            method,
            path,
            {**(params or {}), "timeout": f"{transport.WRITE_TIMEOUT_SECONDS:.0f}s"},
            _for_yaml(orjson.dumps(body)) if content_type == APPLY else orjson.dumps(body),
            content_type,
            transport.WRITE_TIMEOUT_SECONDS,
            repeatable,
        )
        return _decoded(await self._transport.call(request))


def _for_yaml(encoded: bytes) -> bytes:
    """JSON that is YAML too, as which the API server reads an apply: some characters must be escaped there."""
    if _HIGH.search(encoded) is None:
        return encoded
    return _NOT_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", encoded.decode()).encode()


def _decoded(body: bytes) -> Object:
    try:
        answer: Object = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise errors.Unavailable(f"something else than the API server answered, with no JSON: {error}") from error
    return answer
