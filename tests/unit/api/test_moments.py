"""Moments are written alike by everyone, and never say more than a millisecond."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mcp_orchestrator.api.base import Model
from mcp_orchestrator.api.moments import Moment


class Timed(Model):
    """Something with a moment."""

    at: Moment | None = None


@pytest.mark.parametrize(
    ("time", "text"),
    [
        ("2026-11-24T05:07:02.120934Z", "2026-11-24T05:07:02.120Z"),
        ("2026-11-24T05:07:02.999999+00:00", "2026-11-24T05:07:02.999Z"),
        ("2026-11-24T05:07:02Z", "2026-11-24T05:07:02.000Z"),
    ],
)
def test_a_moment_is_written_to_the_millisecond_and_never_later_than_it_was(time: str, text: str) -> None:
    assert Timed.model_validate({"at": time}).wire() == {"at": text}
    assert Timed(at=datetime.fromisoformat(time)).model_copy().wire() == {"at": text}


def test_what_is_read_back_equals_what_was_written() -> None:
    made = Timed(at=datetime(2026, 11, 24, 5, 7, 2, 120934, tzinfo=UTC))

    assert Timed.model_validate(made.wire()) == made


def test_no_moment_is_not_written() -> None:
    assert Timed(at=None).wire() == {}
