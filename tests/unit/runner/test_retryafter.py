"""Retry-After, whatever a server writes there. The formats that there are stand in the integration tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.runner.calls import retryafter

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@given(st.text() | st.from_regex(r"\A[0-9,: A-Za-z+-]{0,40}\Z"), st.text())
def test_no_words_of_a_server_do_harm(header: str, date: str) -> None:
    found = retryafter.seconds(header, date, now=NOW)
    assert found is None or 0 <= found <= retryafter.LONGEST_SECONDS


@given(st.integers(0, 10**6))
def test_a_number_and_a_date_say_the_same(seconds: int) -> None:
    assert retryafter.seconds(str(seconds), now=NOW) == seconds
    until = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retryafter.seconds(until, now=NOW) == seconds
    assert retryafter.seconds(until, format_datetime(NOW, usegmt=True), now=NOW + timedelta(days=1)) == seconds
