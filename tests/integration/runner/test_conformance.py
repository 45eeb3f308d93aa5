"""The official MCP conformance suite says what a client must do; the runner's client does it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from tests.integration.runner.conformance import suite

CLIENT = Path(__file__).parent / "conformance" / "client.py"
OURS = (
    ("initialize", "2025-11-25"),
    ("tools_call", "2025-06-18"),
    ("tools_call", "2025-11-25"),
    ("tools_call", "2026-07-28"),
    ("sse-retry", "2025-11-25"),
    ("request-metadata", "2026-07-28"),
    ("http-standard-headers", "2026-07-28"),
    ("http-custom-headers", "2026-07-28"),
    ("http-invalid-tool-headers", "2026-07-28"),
    ("json-schema-ref-no-deref", "2026-07-28"),
)
NOT_OURS = {
    "elicitation-sep1034-client-defaults": "a run has nobody who could be asked",
    "sep-2322-client-request-state": "a run has nobody who could be asked",
}
"""What the suite asks of clients that do more; everything about authorization is the gateway's, which has the keys."""


@pytest.mark.parametrize(("scenario", "revision"), [pytest.param(*both, id="-".join(both)) for both in OURS])
def test_the_runner_s_client_conforms(scenario: str, revision: str, tmp_path: Path) -> None:
    command = f"{shlex.quote(sys.executable)} {shlex.quote(str(CLIENT))}"
    done = suite.run(
        *("client", "--command", command, "--scenario", scenario, "--spec-version", revision, "-o", tmp_path),
        *("--timeout", "150000"),  # milliseconds: a program that starts on a busy machine takes its time
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (checks,) = tmp_path.glob("*/checks.json")
    found = [(check["status"], check["id"]) for check in json.loads(checks.read_text())]
    assert not [check for check in found if check[0] in ("FAILURE", "WARNING")], done.stdout
    assert [check for check in found if check[0] == "SUCCESS"], "nothing was checked"


@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
def test_what_a_revision_asks_of_clients_is_done_or_is_not_ours(revision: str) -> None:
    requirements = suite.installed() / "requirements" / f"{revision}.yaml"
    asked = yaml.safe_load(requirements.read_text())["client"]
    left = {scenario for scenario in asked if not scenario.startswith("auth/")} - set(NOT_OURS)
    assert left == {scenario for scenario, at in OURS if at == revision}
