"""From a Retry-After header to seconds: RFC 9110, section 10.2.3. Called by `failures`."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 366 * 86_400.0
"""What asks for more is nonsense, or hostile."""


def seconds(header: str, date: str = "", *, now: datetime) -> float | None:
    """How long a server asks to wait, by a number or a date; None if it does not, or in words that nobody can read.

    A date counts from the answer's own `date` header, whose clock made it; without one, from `now`.
    """
    text = header.strip()
    if text.isascii() and text.isdecimal():
        return min(float(text), LONGEST_SECONDS)
    until = _moment(text)
    if until is None:
        return None
    wait = (until - (_moment(date) or now)).total_seconds()
    return min(max(wait, 0.0), LONGEST_SECONDS)


def _moment(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
