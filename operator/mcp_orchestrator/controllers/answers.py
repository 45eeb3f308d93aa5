"""Deletes CachedAnswers that are over, and the oldest where a namespace has too many. Runs while this replica leads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from pydantic import AwareDatetime, TypeAdapter, ValidationError

from mcp_orchestrator import settings
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.cluster.client import Client, Object
from mcp_orchestrator.cluster.resources import CACHED_ANSWERS
from mcp_orchestrator.planning import cachedanswers
from mcp_orchestrator.planning.cachedanswers import Kept

logger = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
BATCH = 100
REST_SECONDS = 1.0
"""Between two batches: there are more urgent things to write."""
_MOMENT: TypeAdapter[datetime] = TypeAdapter(AwareDatetime)


class Answers:
    """Keeps the cached answers of the namespaces within bounds; without namespaces, of all."""

    def __init__(self, client: Client, namespaces: Sequence[str], most: int) -> None:
        self._client = client
        self._namespaces = tuple(namespaces) or ("",)
        self._most = most

    async def run(self, leading: asyncio.Event | None) -> None:
        """Tidy up for ever, while the event is set."""
        while True:
            if leading:
                await leading.wait()
            try:
                await self.tidy()
            except errors.ApiError as error:
                logger.warning("cached answers were not tidied up, which will be tried again: %s", error.message)
            await asyncio.sleep(EVERY_SECONDS)

    async def tidy(self) -> None:
        """Delete what may go. Raises the client's errors."""
        for namespace in self._namespaces:
            # As a table, since the answers themselves would be a hundred times as much.
            found = await self._client.list_all(CACHED_ANSWERS, namespace, convert=_kept, as_table=True)
            going = cachedanswers.to_delete(found.items, self._most, settings.clock())
            for number, kept in enumerate(going, start=1):
                # Whoever has written to it meanwhile still needs it.
                with suppress(errors.NotFound, errors.Conflict):
                    await self._client.delete(CACHED_ANSWERS, kept.name, kept.namespace, resource_version=kept.version)
                if number % BATCH == 0:
                    await asyncio.sleep(REST_SECONDS)


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
