"""How long runs are kept that have ended."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mcp_orchestrator.api.base import Model

TtlSeconds = Annotated[int, Field(ge=60, le=315_360_000)]
"""A minute at least, so that whoever waits for a run still finds it; ten years at most."""
Kept = Annotated[int, Field(ge=0, le=1000)]


class History(Model):
    """How many ended runs of a workflow are kept."""

    succeeded: Kept | None = Field(
        None,
        description="The most runs that are kept of those that succeeded; older ones are deleted. Default: 10 for runs "
        "of schedules, and all others.",
    )
    failed: Kept | None = Field(
        None,
        description="The most runs that are kept of those that failed or were cancelled; older ones are deleted. "
        "Default: 10 for runs of schedules, and all others.",
    )
