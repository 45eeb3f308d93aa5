"""What the load bench reads from an API server's audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bench.load import audit
from bench.load.audit import AuditLog


def a_line(**fields: Any) -> bytes:
    event = {
        "stage": "ResponseComplete",
        "verb": "patch",
        "userAgent": "mcp-orchestrator",
        "objectRef": {"resource": "workflowruns", "subresource": "status", "namespace": "space", "name": "run"},
        "responseStatus": {"code": 200},
        "requestObject": {"status": {"phase": "Queued"}},
        "requestReceivedTimestamp": "1970-01-01T00:00:01.000250Z",
        "stageTimestamp": "1970-01-01T00:00:01.000750Z",
    }
    return json.dumps(event | fields, separators=(",", ":")).encode() + b"\n"


def test_a_line_tells_who_asked_what_and_when_to_the_microsecond() -> None:
    call = audit.parse(a_line(userAgent="kubectl/v1.37 (linux)"))
    assert call is not None
    assert (call.verb, call.resource, call.namespace, call.name) == ("patch", "workflowruns/status", "space", "run")
    assert (call.agent, call.code, call.body) == ("kubectl", 200, {"status": {"phase": "Queued"}})
    assert call.received == pytest.approx(1.00025, abs=1e-7)
    assert call.answered == pytest.approx(1.00075, abs=1e-7)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(a_line(stage="ResponseStarted"), id="a-watch-that-goes-on"),
        pytest.param(a_line(objectRef=None), id="a-question-about-no-object"),
    ],
)
def test_a_line_that_is_no_answer_about_an_object_tells_nothing(line: bytes) -> None:
    assert audit.parse(line) is None


def test_requests_of_other_namespaces_are_left_out() -> None:
    other = a_line(objectRef={"resource": "jobs", "namespace": "space-2", "name": "job"})
    assert [call.name for call in audit.of_namespace([a_line(), other], "space")] == ["run"]


def test_a_log_is_read_on_from_where_it_ended_also_when_it_began_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    path.write_bytes(b"before\n")
    log = AuditLog(path)
    assert list(log.news()) == []
    with path.open("ab") as file:
        file.write(b"first\nsec")
    assert list(log.news()) == [b"first\n"]
    with path.open("ab") as file:
        file.write(b"ond\nthird\n")
    path.rename(tmp_path / "audit-2026-01-01T00-00-00.000.log")
    path.write_bytes(b"fourth\n")
    assert list(log.news()) == [b"second\n", b"third\n", b"fourth\n"]
    assert list(log.news()) == []
