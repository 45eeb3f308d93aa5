"""What the operator knows of an object that is over at its time, to decide whether it goes. See controllers.expiry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Kept:
    """A CachedAnswer or a RunReceipt without its contents, as the operator lists it."""

    namespace: str
    name: str
    version: str
    """metadata.resourceVersion"""
    created: datetime
    until: datetime | None
    """None if it can't be read."""
