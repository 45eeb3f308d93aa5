"""The order to stop a run before its end. Given by `main`, obeyed by the engine."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stop:
    """The order to stop, and how long calls under way may go on: what they come to is worth knowing."""

    message: str
    patience_seconds: float = 0.0


class Stopped(Exception):
    """The run was stopped before its end; what is on record stays as it is, for another pod to go on from."""
