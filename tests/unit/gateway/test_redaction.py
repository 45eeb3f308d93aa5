"""Which values are secrets, and that none survives."""

from __future__ import annotations

import pytest

from mcp_orchestrator.gateway import redaction


@pytest.mark.parametrize(
    ("environ", "headers", "secret"),
    [
        pytest.param({"OPENAI_API_KEY": "abcdef"}, (), {"abcdef"}, id="key"),
        pytest.param({"gh_token": "abcdef"}, (), {"abcdef"}, id="token, lower case"),
        pytest.param({"DB_PASSWORD_FILE": "abcdef"}, (), {"abcdef"}, id="password"),
        pytest.param({"DB_PASS": "abcdef"}, (), {"abcdef"}, id="pass"),
        pytest.param({"AWS_CREDENTIALS": "abcdef"}, (), {"abcdef"}, id="credentials"),
        pytest.param({"CLIENT_SECRET": "abcdef\n"}, (), {"abcdef"}, id="secret with a newline"),
        pytest.param({"MCP_ORCHESTRATOR_HEADER_0": "abcdef"}, ("MCP_ORCHESTRATOR_HEADER_0",), {"abcdef"}, id="header"),
        pytest.param({"HOME": "/tmp/home", "LANG": "C.UTF-8"}, (), set(), id="nothing"),
    ],
)
def test_secrets_are_told_by_their_names(environ: dict[str, str], headers: tuple[str, ...], secret: set[str]) -> None:
    assert redaction.secrets(environ, frozenset(headers)) == secret


@pytest.mark.parametrize(
    ("secrets", "text", "shown"),
    [
        pytest.param({"hunter22"}, "login hunter22 failed", "login [redacted] failed", id="inside"),
        pytest.param({"short"}, "a short one", "a short one", id="too short to hide"),
        pytest.param({"secret", "secret-and-more"}, "is secret-and-more", "is [redacted]", id="one inside another"),
        pytest.param({'with"quote'}, '{"key": "with\\"quote"}', '{"key": "[redacted]"}', id="as JSON"),
        pytest.param({"-----BEGIN-----\n  MIIEvQ\nab\n"}, "got MIIEvQ, ab", "got [redacted], ab", id="a line of many"),
        pytest.param({"a.c+e*g"}, "abcdefg a.c+e*g", "abcdefg [redacted]", id="no pattern"),
        pytest.param(set(), "nothing to hide", "nothing to hide", id="none"),
    ],
)
def test_secrets_are_replaced_in_texts(secrets: set[str], text: str, shown: str) -> None:
    assert redaction.Redactor(frozenset(secrets)).text(text) == shown


def test_values_are_cleaned_at_every_depth_and_otherwise_kept() -> None:
    clean = redaction.Redactor(frozenset({"hunter22"})).value
    assert clean({"a": ["hunter22", 1, None, True], "hunter22": {"b": ("x hunter22",)}}) == {
        "a": ["[redacted]", 1, None, True],
        "[redacted]": {"b": ["x [redacted]"]},
    }
