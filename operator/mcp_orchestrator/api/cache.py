"""What the three kinds say of cached answers: for how long, whether a run takes them, and what became of that."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from mcp_orchestrator.api.base import Model


class Cache(Model):
    """For how long an answer stands for further calls with the same arguments."""

    ttl_seconds: Annotated[int, Field(ge=0, le=604_800)] = Field(
        description="Seconds for which an answer is taken again instead of a call with the same arguments to the same "
        "server. 0: never."
    )


class TaskCache(Cache):
    """The same for one task."""

    force: bool = Field(
        False,
        description="Take answers again also of a tool that neither declares that it only reads nor that a repeated "
        "call is harmless: what it does is then done for the first call alone.",
    )


class CacheMode(StrEnum):
    """What a run does with cached answers, if it does not just take them."""

    BYPASS = "Bypass"
    REFRESH = "Refresh"


class CacheUse(StrEnum):
    """What the cache did for a task."""

    HIT = "Hit"
    MISS = "Miss"
    REFRESHED = "Refreshed"
