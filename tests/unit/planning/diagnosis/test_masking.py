"""Secrets taken out of words of others, by how they look."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.planning.diagnosis.masking import masked


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("API_KEY=abc123 is wrong", "API_KEY=[redacted] is wrong", id="a variable"),
        pytest.param('{"password": "hunter2", "n": 1}', '{"password": "[redacted]", "n": 1}', id="JSON"),
        pytest.param("x-api-key: abc", "x-api-key: [redacted]", id="a header"),
        pytest.param("Authorization: Bearer abc.def-12345", "Authorization: [redacted]", id="an authorization"),
        pytest.param("sent bearer abcdefghij.k", "sent bearer [redacted]", id="a bearer token"),
        pytest.param("GET /?token=abc&x=1", "GET /?token=[redacted]&x=1", id="a query"),
        pytest.param("key sk-" + "a" * 20 + " refused", "key [redacted] refused", id="a known shape"),
        pytest.param("eyJhbGciOiJI.eyJzdWIiOiIx.sig", "[redacted]", id="a JWT"),
        pytest.param("postgres://user:pass@db/x", "postgres://[redacted]@db/x", id="a user in an address"),
        pytest.param("token expired; set the API key", "token expired; set the API key", id="words about secrets"),
        pytest.param("the tokenizer = fast", "the tokenizer = [redacted]", id="rather too much than too little"),
        pytest.param("https://host:8080/a@b", "https://host:8080/a@b", id="a port"),
    ],
)
def test_what_looks_like_a_secret_is_not_shown(text: str, shown: str) -> None:
    assert masked(text) == shown


@given(st.text(max_size=200))
def test_any_text_can_be_masked_and_stays_masked(text: str) -> None:
    assert masked(masked(text)) == masked(text)


def test_a_long_text_takes_no_long_time() -> None:
    assert masked("a" * 200_000 + "=" * 10 + "://" * 50_000)
