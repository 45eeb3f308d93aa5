"""Names and formats that dashboards and log queries count on."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import kopf
import pytest

from mcp_orchestrator import telemetry

EXPECTED = {
    "mcp_orchestrator_workflow_executions_total": ("workflow_type", "status"),
    "mcp_orchestrator_workflow_duration_seconds_bucket": ("workflow_type", "le"),
    "mcp_orchestrator_active_workflows": (),
    "mcp_orchestrator_waiting_workflows": (),
    "mcp_orchestrator_mcp_server_requests_total": ("server_name", "status"),
    "mcp_orchestrator_mcp_server_response_time_seconds_bucket": ("server_name", "le"),
    "mcp_orchestrator_errors_total": ("error_type", "component"),
    "mcp_orchestrator_memory_usage_bytes": (),
    "mcp_orchestrator_cpu_usage_percent": (),
    "mcp_orchestrator_build_info": ("version", "python_version"),
    "controller_runtime_reconcile_total": ("controller", "result"),
    "controller_runtime_reconcile_errors_total": ("controller",),
    "controller_runtime_reconcile_time_seconds_bucket": ("controller", "le"),
    "controller_runtime_active_workers": ("controller",),
    "controller_runtime_max_concurrent_reconciles": ("controller",),
    "workqueue_depth": ("name",),
    "workqueue_adds_total": ("name",),
    "workqueue_queue_duration_seconds_bucket": ("name", "le"),
    "workqueue_work_duration_seconds_bucket": ("name", "le"),
    "workqueue_retries_total": ("name",),
    "workqueue_unfinished_work_seconds": ("name",),
    "workqueue_longest_running_processor_seconds": ("name",),
    "rest_client_requests_total": ("code", "method", "host"),
    "rest_client_request_duration_seconds_bucket": ("verb", "host", "le"),
    "leader_election_master_status": ("name",),
}


def fill_all() -> None:
    """Give each metric a sample: one with labels shows none before."""
    for metric in vars(telemetry).values():
        labels = getattr(metric, "_labelnames", None)
        if labels:
            metric.labels(*("x" for _ in labels))
    telemetry.set_build_info("1.2.3")


@pytest.mark.parametrize(
    "accept",
    [pytest.param("", id="text"), pytest.param("application/openmetrics-text;version=1.0.0", id="openmetrics")],
)
def test_every_metric_has_exactly_its_name_and_labels(accept: str) -> None:
    fill_all()
    body, _ = telemetry.scrape(telemetry.OPERATOR, accept)
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^([a-z_]+)(?:\{(.*)\})? ", body.decode(), re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    assert {name: found.get(name) for name in EXPECTED} == {name: set(labels) for name, labels in EXPECTED.items()}
    assert not [name for name in found if name.endswith("_created")]


def test_a_gateway_exposes_its_own_metrics_only() -> None:
    fill_all()
    text = telemetry.scrape(telemetry.GATEWAY)[0].decode()
    assert "mcp_orchestrator_mcp_server_requests_total" in text
    assert "mcp_orchestrator_cpu_usage_percent" in text
    assert "workqueue" not in text
    assert "workflow" not in text


def test_the_process_is_measured_at_each_scrape() -> None:
    telemetry.track_process()
    sum(range(200_000))
    telemetry.scrape(telemetry.OPERATOR)
    memory = telemetry.OPERATOR.get_sample_value("mcp_orchestrator_memory_usage_bytes")
    share = telemetry.OPERATOR.get_sample_value("mcp_orchestrator_cpu_usage_percent")
    assert memory is not None
    assert memory > 1 << 20
    assert share is not None
    assert share > 0


@pytest.fixture
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in telemetry.QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.mark.usefixtures("restored_logging")
def test_a_log_line_is_a_json_object_with_the_fields_of_its_object(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("info", json=True)
    extra = {"kind": "WorkflowRun", "namespace": "team", "object_name": "a", "uid": "u1", "trace_id": "t1"}
    logging.getLogger("ours").info("phase is %s", "Running", extra=extra)
    logging.getLogger("ours").debug("not told")
    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields.pop("time"))
    assert fields == {
        "level": "INFO",
        "logger": "ours",
        "message": "phase is Running",
        "kind": "WorkflowRun",
        "namespace": "team",
        "name": "a",
        "uid": "u1",
        "trace_id": "t1",
    }


@pytest.mark.usefixtures("restored_logging")
def test_the_framework_names_its_object_too_and_its_chatter_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("DEBUG", json=True)
    quiet = kopf.OperatorSettings()
    quiet.posting.enabled = False
    extra = {"k8s_ref": {"kind": "Job", "name": "j", "namespace": None}, "settings": quiet, "k8s_skip": False}
    logging.getLogger("kopf.objects").info("Handler succeeded.", extra=extra)
    logging.getLogger("kopf.objects").error("Handler failed.", extra=extra)
    (line,) = capsys.readouterr().out.splitlines()
    fields = json.loads(line)
    del fields["time"]
    expected = {"level": "ERROR", "logger": "kopf.objects", "message": "Handler failed.", "kind": "Job", "name": "j"}
    assert fields == expected


@pytest.mark.usefixtures("restored_logging")
def test_an_exception_stays_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("INFO", json=True)
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("ours").exception("no")
    (line,) = capsys.readouterr().out.splitlines()
    assert "ValueError: broken" in json.loads(line)["exc_info"]


@pytest.mark.usefixtures("restored_logging")
def test_text_for_a_person_shows_the_fields_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.set_up_logging("INFO", json=False)
    logging.getLogger("ours").warning("slow", extra={"object_name": "a", "kind": "WorkflowRun"})
    assert re.fullmatch(r"\S+Z WARNING ours: slow name=a kind=WorkflowRun\n", capsys.readouterr().out)
