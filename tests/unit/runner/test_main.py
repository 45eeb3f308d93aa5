from __future__ import annotations

from pathlib import Path

import pytest

from mcp_orchestrator.runner import main
from mcp_orchestrator.settings import InvalidSetting

WHOLE = {
    "MCP_ORCHESTRATOR_RUN_NAME": "r",
    "MCP_ORCHESTRATOR_RUN_NAMESPACE": "n",
    "MCP_ORCHESTRATOR_POD_NAME": "p",
    "MCP_ORCHESTRATOR_POD_UID": "u",
}


def test_the_environment_of_the_job_is_read() -> None:
    found = main.read({**WHOLE, "MCP_ORCHESTRATOR_RUN_TIMEOUT_SECONDS": "60", "TRACEPARENT": "00-1-2-01"})
    assert (found.run_name, found.namespace, found.pod_name, found.pod_uid) == ("r", "n", "p", "u")
    assert (found.timeout_seconds, found.traceparent) == (60, "00-1-2-01")
    assert found.termination_log == "/dev/termination-log"
    assert main.read(WHOLE).timeout_seconds == 3600


@pytest.mark.parametrize("name", WHOLE)
def test_what_the_job_forgot_is_named(name: str) -> None:
    with pytest.raises(InvalidSetting, match=name):
        main.read({key: value for key, value in WHOLE.items() if key != name})


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5"])
def test_a_time_out_must_be_whole_seconds(value: str) -> None:
    with pytest.raises(InvalidSetting, match="RUN_TIMEOUT_SECONDS"):
        main.read({**WHOLE, "MCP_ORCHESTRATOR_RUN_TIMEOUT_SECONDS": value})


def test_a_bad_environment_is_told_in_the_termination_message(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in WHOLE:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MCP_ORCHESTRATOR_TERMINATION_LOG", str(tmp_path / "log"))
    assert main.run() == 2
    assert "MCP_ORCHESTRATOR_RUN_NAME is not set" in (tmp_path / "log").read_text()


def test_a_termination_message_is_cut_between_characters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in WHOLE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MCP_ORCHESTRATOR_RUN_TIMEOUT_SECONDS", "\u20ac" * 4000)
    monkeypatch.setenv("MCP_ORCHESTRATOR_TERMINATION_LOG", str(tmp_path / "log"))
    assert main.run() == 2
    told = (tmp_path / "log").read_bytes()
    assert 4000 < len(told) <= main.TERMINATION_BYTES
    assert told.decode().endswith("\u20ac\u2026")
