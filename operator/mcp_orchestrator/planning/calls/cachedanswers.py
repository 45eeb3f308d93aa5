"""What a CachedAnswer stands for at a moment, and which ones may go. Used by runners and by the operator."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from itertools import groupby

from mcp_orchestrator.api.cachedanswer import CachedAnswer, CachedAnswerSpec
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.planning.expiry import Kept

LONGEST = timedelta(days=7, hours=1)
"""No answer and no call lasts longer: the most that a workflow can ask for, and an hour for clocks that differ."""
NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Found = CachedAnswer | Unreadable | None


def answer(found: Found, now: datetime) -> bytes | None:
    """The answer that stands there now."""
    if not isinstance(found, CachedAnswer) or not found.spec.answer or is_over(found.spec.until, now):
        return None
    try:
        return base64.b64decode(found.spec.answer, validate=True)
    except binascii.Error:
        return None


def is_awaited(found: Found, now: datetime) -> bool:
    """Whether somebody makes the call now."""
    return isinstance(found, CachedAnswer) and not found.spec.answer and not is_over(found.spec.until, now)


def is_over(until: datetime, now: datetime) -> bool:
    """Whether that end has come; one that nobody can have asked for never was to come."""
    return not now < until <= now + LONGEST


def calling(caller: str, seconds: float, now: datetime) -> CachedAnswerSpec:
    """What the caller writes while he makes the call."""
    return _whole(caller, now + timedelta(seconds=seconds), b"")


def answered(caller: str, data: bytes, seconds: int, now: datetime) -> CachedAnswerSpec:
    """What he writes when he has the answer."""
    return _whole(caller, now + timedelta(seconds=seconds), data)


def given_up(caller: str) -> CachedAnswerSpec:
    """What he writes when he has none: over, whatever the time is on the next one's clock."""
    return _whole(caller, NEVER, b"")


def _whole(caller: str, until: datetime, data: bytes) -> CachedAnswerSpec:
    # Always all fields: an apply leaves those alone that it does not name, if another writer set them.
    return CachedAnswerSpec(until=until, caller=caller, answer=base64.b64encode(data).decode())


def to_delete(kept: Iterable[Kept], most: int, now: datetime) -> list[Kept]:
    """Those that are over, and of each namespace the oldest that are more than `most`."""
    going: list[Kept] = []
    for _, found in groupby(sorted(kept, key=lambda one: (one.namespace, one.created, one.name)), _namespace):
        standing: list[Kept] = []
        for one in found:
            (going if one.until is None or is_over(one.until, now) else standing).append(one)
        going.extend(standing[: max(0, len(standing) - most)])
    return going


def _namespace(one: Kept) -> str:
    return one.namespace
