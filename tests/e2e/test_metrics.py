"""Metrics and health as Prometheus and the kubelet get them, after one run that succeeded and one that failed."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass

import pytest

from tests.e2e.release import GATEWAY_PORT, PORT, Release, Samples
from tests.e2e.space import Space, eventually
from tests.objects import a_run, a_server, a_task, a_template

DURATION = "mcp_orchestrator_workflow_duration_seconds"
COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"
WORKFLOW = {
    "mcp_orchestrator_workflow_executions_total": (COUNTER, ("status", "workflow_type")),
    DURATION: (HISTOGRAM, ("workflow_type",)),
    "mcp_orchestrator_active_workflows": (GAUGE, ()),
    "mcp_orchestrator_waiting_workflows": (GAUGE, ()),
}
SERVER = {
    "mcp_orchestrator_mcp_server_requests_total": (COUNTER, ("server_name", "status")),
    "mcp_orchestrator_mcp_server_response_time_seconds": (HISTOGRAM, ("server_name",)),
}
BOTH = {
    "mcp_orchestrator_errors_total": (COUNTER, ("component", "error_type")),
    "mcp_orchestrator_memory_usage_bytes": (GAUGE, ()),
    "mcp_orchestrator_cpu_usage_percent": (GAUGE, ()),
}
OF_ANY_OPERATOR = {
    "controller_runtime_reconcile_total": (COUNTER, ("controller", "result")),
    "controller_runtime_reconcile_time_seconds": (HISTOGRAM, ("controller",)),
    "controller_runtime_active_workers": (GAUGE, ("controller",)),
    "controller_runtime_max_concurrent_reconciles": (GAUGE, ("controller",)),
    "workqueue_depth": (GAUGE, ("name",)),
    "workqueue_adds_total": (COUNTER, ("name",)),
    "workqueue_queue_duration_seconds": (HISTOGRAM, ("name",)),
    "workqueue_work_duration_seconds": (HISTOGRAM, ("name",)),
    "workqueue_retries_total": (COUNTER, ("name",)),
    "workqueue_unfinished_work_seconds": (GAUGE, ("name",)),
    "workqueue_longest_running_processor_seconds": (GAUGE, ("name",)),
    "rest_client_requests_total": (COUNTER, ("code", "host", "method")),
    "rest_client_request_duration_seconds": (HISTOGRAM, ("host", "verb")),
    "leader_election_master_status": (GAUGE, ("name",)),
}


@dataclass(frozen=True)
class Scrapes:
    """What operator and gateway said before and after the two runs."""

    workflow: str
    before: Samples
    after: Samples
    gateway_before: Samples
    gateway_after: Samples
    texts: tuple[str, str]
    milliseconds: int
    """How long the two runs took together, by their statuses."""

    def grown(self, name: str, /, **labels: str) -> float:
        """By how much a sample of the operator grew."""
        return self.after.value(name, **labels) - self.before.value(name, **labels)

    def grown_at_gateway(self, name: str, /, **labels: str) -> float:
        """By how much a sample of the gateway grew."""
        return self.gateway_after.value(name, **labels) - self.gateway_before.value(name, **labels)


@pytest.fixture(scope="module")
def scrapes(space: Space, operator: Release) -> Scrapes:
    """One run that succeeds and one that fails, of a template whose name nobody else uses."""
    workflow = f"metrics-of-{space.namespace}"
    zone = {"name": "zone", "schema": {"type": "string"}, "default": "UTC"}
    task = a_task(arguments={"timezone": "${{ params.zone }}"})
    space.apply(a_server(), a_template(workflow, parameters=[zone], tasks=[task]))
    space.wait("msrv/time", "Ready")
    pod = space.list("pods", "-l", "mcp-orchestrator.io/server=time")[0]["metadata"]["name"]

    def scrape() -> tuple[str, str]:
        return operator.get("/metrics"), space.proxied(pod, GATEWAY_PORT, "/metrics")

    before, gateway_before = scrape()
    reference = {"templateRef": {"name": workflow}}
    space.apply(a_run("good", **reference), a_run("bad", **reference, parameters={"zone": "Nowhere/AtAll"}))
    statuses = [space.finish(run)["status"] for run in ("good", "bad")]
    assert [status["phase"] for status in statuses] == ["Succeeded", "Failed"]

    def counted() -> tuple[str, str] | None:
        """The ends of the runs are counted after they are written."""
        texts = scrape()
        return texts if Samples(texts[0]).value(f"{DURATION}_count", workflow_type=workflow) == 2 else None

    texts = eventually("both runs are counted", counted)
    return Scrapes(
        workflow=workflow,
        before=Samples(before),
        after=Samples(texts[0]),
        gateway_before=Samples(gateway_before),
        gateway_after=Samples(texts[1]),
        texts=texts,
        milliseconds=sum(status["durationMilliseconds"] for status in statuses),
    )


def types_of(text: str) -> dict[str, str]:
    """Name and type of each metric that is exposed."""
    lines = (line.split() for line in text.splitlines() if line.startswith("# TYPE "))
    return {words[2]: words[3] for words in lines}


@pytest.mark.parametrize(
    ("name", "kind"), [(n, k) for n, (k, _) in (WORKFLOW | SERVER | BOTH | OF_ANY_OPERATOR).items()]
)
def test_the_operator_exposes_every_metric_under_its_name(scrapes: Scrapes, name: str, kind: str) -> None:
    assert types_of(scrapes.texts[0]).get(name) == kind


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n, (k, _) in (SERVER | BOTH).items()])
def test_a_gateway_exposes_every_metric_under_its_name(scrapes: Scrapes, name: str, kind: str) -> None:
    assert types_of(scrapes.texts[1]).get(name) == kind


def labels(samples: Samples, name: str, kind: str) -> set[tuple[str, ...]]:
    """The sets of label names under which a metric is counted."""
    return samples.labels(f"{name}_count" if kind == HISTOGRAM else name)


@pytest.mark.parametrize(("name", "kind", "names"), [(n, *v) for n, v in (WORKFLOW | BOTH | OF_ANY_OPERATOR).items()])
def test_the_operators_labels_are_these_and_no_others(
    scrapes: Scrapes, name: str, kind: str, names: tuple[str, ...]
) -> None:
    assert labels(scrapes.after, name, kind) == {names}


@pytest.mark.parametrize(("name", "kind", "names"), [(n, *v) for n, v in SERVER.items()])
def test_a_gateways_labels_are_these_and_no_others(
    scrapes: Scrapes, name: str, kind: str, names: tuple[str, ...]
) -> None:
    assert labels(scrapes.gateway_after, name, kind) == {names}


def test_each_run_is_counted_once_by_its_outcome(scrapes: Scrapes) -> None:
    executions = "mcp_orchestrator_workflow_executions_total"
    assert scrapes.grown(executions, workflow_type=scrapes.workflow, status="completed") == 1
    assert scrapes.grown(executions, workflow_type=scrapes.workflow, status="failed") == 1
    assert scrapes.grown("mcp_orchestrator_errors_total", error_type="Tool", component="workflow") == 1


def test_the_duration_is_what_the_runs_say(scrapes: Scrapes) -> None:
    assert scrapes.grown(f"{DURATION}_count", workflow_type=scrapes.workflow) == 2
    total = scrapes.grown(f"{DURATION}_sum", workflow_type=scrapes.workflow)
    assert total == pytest.approx(scrapes.milliseconds / 1000)


def test_each_call_is_counted_once_by_its_outcome(scrapes: Scrapes) -> None:
    """The checks of the gateway itself are no calls."""
    requests, time = "mcp_orchestrator_mcp_server_requests_total", "mcp_orchestrator_mcp_server_response_time_seconds"
    assert scrapes.grown_at_gateway(requests, server_name="time", status="ok") == 1
    assert scrapes.grown_at_gateway(requests, server_name="time", status="tool_error") == 1
    assert scrapes.grown_at_gateway(f"{time}_count", server_name="time") == 2


def test_the_gauges_tell_of_a_process_at_work(scrapes: Scrapes) -> None:
    for samples in (scrapes.after, scrapes.gateway_after):
        assert samples.value("mcp_orchestrator_memory_usage_bytes") > 20 << 20
        assert samples.value("mcp_orchestrator_cpu_usage_percent") > 0
        assert samples.labels("mcp_orchestrator_build_info") == {("python_version", "version")}
    assert scrapes.after.value("mcp_orchestrator_active_workflows") == 0
    assert scrapes.after.value("leader_election_master_status", name="mcp-orchestrator") == 1
    print(f"\noperator: {scrapes.after.value('process_resident_memory_bytes') / 2**20:.0f} MiB resident")
    print(f"gateway: {scrapes.gateway_after.value('process_resident_memory_bytes') / 2**20:.0f} MiB resident")


def test_no_label_grows_with_the_number_of_runs(scrapes: Scrapes) -> None:
    for text in scrapes.texts:
        assert '"good"' not in text
        assert '"bad"' not in text


def test_promtool_finds_nothing_to_complain_about(scrapes: Scrapes) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    for text in scrapes.texts:
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_replica_leads_and_the_others_count_no_runs(scrapes: Scrapes, operator: Release) -> None:
    scraped = {
        pod["metadata"]["name"]: Samples(operator.space.proxied(pod["metadata"]["name"], PORT, "/metrics"))
        for pod in operator.pods()
    }
    assert len(scraped) == 2
    leading = [
        name
        for name, samples in scraped.items()
        if samples.value("leader_election_master_status", name="mcp-orchestrator")
    ]
    assert leading == [operator.leader()]
    standby = next(samples for name, samples in scraped.items() if name not in leading)
    executions = "mcp_orchestrator_workflow_executions_total"
    assert standby.value(executions, workflow_type=scrapes.workflow, status="completed") == 0


def test_every_replica_says_that_it_lives_and_is_ready(operator: Release) -> None:
    for pod in operator.pods():
        name = pod["metadata"]["name"]
        live, ready = (operator.space.proxied(name, PORT, path) for path in ("/livez", "/readyz"))
        assert live.splitlines() == ["[+]event loop ok", "[+]lease ok", "ok"]
        assert ready.splitlines() == ["[+]store ok", "ok"]


def test_the_health_report_tells_of_servers_queue_and_resources(operator: Release) -> None:
    report = json.loads(operator.get("/healthz"))
    assert set(report["checks"]) == {"mcp_servers", "system_resources", "workflow_queue"}
    words = {"healthy", "degraded", "unhealthy"}
    assert {report["status"], *(check["status"] for check in report["checks"].values())} <= words
    assert all(check["message"] for check in report["checks"].values())


def test_a_gateway_says_that_it_lives_and_is_ready(scrapes: Scrapes, space: Space) -> None:
    pod = space.list("pods", "-l", "mcp-orchestrator.io/server=time")[0]["metadata"]["name"]
    assert space.proxied(pod, GATEWAY_PORT, "/livez") == "ok"
    assert space.proxied(pod, GATEWAY_PORT, "/readyz") == "ok"
