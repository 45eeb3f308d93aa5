"""When something happened, to the millisecond: enough to see what came first, and no digits that mean nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, PlainSerializer


def moment(time: datetime) -> datetime:
    """The time, cut to the millisecond."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def written(time: datetime) -> str:
    """The time in UTC as everything of ours writes it: 2026-11-24T05:07:02.120Z."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


Moment = Annotated[datetime, AfterValidator(moment), PlainSerializer(written, when_used="json-unless-none")]
"""A field that holds a moment."""
