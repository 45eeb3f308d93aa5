"""One key from the work queue: the right controller, and what its failure means. Errors end here."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Protocol

from mcp_orchestrator import telemetry
from mcp_orchestrator.cluster import errors
from mcp_orchestrator.controllers.store import Key

logger = logging.getLogger(__name__)

CONFLICT_SECONDS = 0.2
UNAVAILABLE_SECONDS = 5.0
REFUSED_SECONDS = 60.0


class Controller(Protocol):
    """The controller of one kind."""

    async def reconcile(self, key: Key) -> float | None:
        """Take one look; seconds until the next, None for when something changes."""


class Reconciler:
    """Handles the keys of all kinds."""

    def __init__(self, controllers: Mapping[str, Controller]) -> None:
        self._controllers = controllers

    async def handle(self, key: Key) -> float | None:
        """Reconcile `key`. What the API server refuses becomes a wait and a log line; the rest are bugs and raised."""
        try:
            return await self._controllers[key.kind].reconcile(key)
        except errors.NotLeader:
            return UNAVAILABLE_SECONDS
        except errors.NotFound as error:
            # Deleted while we looked, together with its namespace or alone; an event or the sweep will tell.
            return self._wait(key, error, CONFLICT_SECONDS * 5, logging.DEBUG)
        except errors.Conflict as error:
            return self._wait(key, error, CONFLICT_SECONDS, logging.DEBUG)
        except errors.Forbidden as error:
            # What is left in a namespace that is being deleted goes with it.
            dying = any(cause.reason == "NamespaceTerminating" for cause in error.causes)
            return self._wait(key, error, REFUSED_SECONDS, logging.DEBUG if dying else logging.ERROR)
        except errors.Unavailable as error:
            return self._wait(key, error, error.retry_after_seconds or UNAVAILABLE_SECONDS, logging.WARNING)
        except errors.ApiError as error:
            return self._wait(key, error, REFUSED_SECONDS, logging.ERROR)

    def _wait(self, key: Key, error: errors.ApiError, seconds: float, level: int) -> float:
        if level >= logging.WARNING:
            telemetry.ERRORS.labels(type(error).__name__, "operator").inc()
        logger.log(
            level,
            "the API server refused: %s",
            error.message,
            extra={"kind": key.kind, "namespace": key.namespace, "object_name": key.name, "retry_seconds": seconds},
        )
        return seconds
