"""Decisions, pure: (observed, now) -> plan. No I/O, no clock."""
