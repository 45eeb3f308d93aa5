"""Parameters that the pod has as files."""

from __future__ import annotations

from pathlib import Path

from tests.builders import a_parameter, a_run

from mcp_orchestrator.runner import parameterfiles

DECLARED = (
    a_parameter("key", {"type": "string"}, sensitive=True),
    a_parameter("numbers", {"type": "array", "minItems": 2}),
    a_parameter("mood", default="plain"),
)
SPEC = a_run(
    parameters_from=[
        {"name": "key", "secret_key_ref": {"name": "keys", "key": "api"}},
        {"name": "numbers", "config_map_key_ref": {"name": "settings", "key": "numbers"}},
    ]
).spec


def test_files_become_values_and_the_sensitive_ones_secrets(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t\n")
    (tmp_path / "numbers").write_text("[40, 2]")
    given = parameterfiles.resolve(SPEC, DECLARED, tmp_path)
    assert given.values == {"key": "s3cr3t", "numbers": [40, 2], "mood": "plain"}
    assert given.secrets == ("s3cr3t",)
    assert given.mistakes == ()


def test_what_can_not_be_read_is_told_by_its_parameter(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff")
    (tmp_path / "numbers").write_text("[1]")
    told = "; ".join(map(str, parameterfiles.resolve(SPEC, DECLARED, tmp_path).mistakes))
    assert "spec.parametersFrom.key: it is not UTF-8 text" in told
    assert "numbers" in told
    assert "2 items" in told
