"""Deletes CachedAnswers and RunReceipts that are over. Runs while this replica leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from mcp_orchestrator import settings
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client
from mcp_orchestrator.cluster.resources import CACHED_ANSWERS, RUN_RECEIPTS, Object, Resource
from mcp_orchestrator.planning.calls import cachedanswers
from mcp_orchestrator.planning.expiry import Kept
from mcp_orchestrator.planning.runs import receipts

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
BATCH = 100
REST_SECONDS = 1.0
"""Between two batches: there are more urgent things to write."""
_MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class Expiry:
    """Deletes the objects of a kind that `chosen` chooses, in the namespaces; without namespaces, in all."""

    def __init__(
        self,
        client: Client,
        resource: Resource,
        namespaces: Sequence[str],
        chosen: Callable[[Iterable[Kept], datetime], Sequence[Kept]],
    ) -> None:
        self._client = client
        self._resource = resource
        self._namespaces = tuple(namespaces) or ("",)
        self._chosen = chosen

    async def run(self, leading: asyncio.Event | None) -> None:
        """Tidy up for ever, while the event is set."""
        while True:
            if leading:
                await leading.wait()
            try:
                await self.tidy()
            except errors.ApiError as error:
                kind = self._resource.plural
                logger.warning("%s were not tidied up, which will be tried again: %s", kind, error.message)
            await asyncio.sleep(EVERY_SECONDS)

    async def tidy(self) -> None:
        """Delete what may go. Raises the client's errors."""
        for namespace in self._namespaces:
            # As a table, since their contents would be a hundred times as much.
            found = await self._client.list_all(self._resource, namespace, convert=_kept, as_table=True)
            for number, kept in enumerate(self._chosen(found.items, settings.clock()), start=1):
                # Whoever has written to it meanwhile still needs it.
                with suppress(errors.NotFound, errors.Conflict):
                    await self._client.delete(self._resource, kept.name, kept.namespace, resource_version=kept.version)
                if number % BATCH == 0:
                    await asyncio.sleep(REST_SECONDS)


def of_answers(client: Client, namespaces: Sequence[str], most: int) -> Expiry:
    """Deletes CachedAnswers that are over, and the oldest where a namespace has more than `most`."""
    return Expiry(client, CACHED_ANSWERS, namespaces, lambda kept, now: cachedanswers.to_delete(kept, most, now))


def of_receipts(client: Client, namespaces: Sequence[str]) -> Expiry:
    """Deletes RunReceipts that are over."""
    return Expiry(
        client, RUN_RECEIPTS, namespaces, lambda kept, now: [one for one in kept if receipts.is_over(one, now)]
    )


def _kept(row: Object) -> Kept:
    metadata = row["metadata"]
    return Kept(
        metadata["namespace"],
        metadata["name"],
        metadata["resourceVersion"],
        _MOMENT.validate_python(metadata["creationTimestamp"]),
        _moment(row["cells"].get("Until")),
    )


def _moment(text: object) -> datetime | None:
    try:
        return _MOMENT.validate_python(text)
    except ValidationError:
        return None
