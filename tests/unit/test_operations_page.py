"""docs/operations.md: what it tells of metrics, labels and kinds is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from tests.builders import a_run, a_server, a_spec

from mcp_orchestrator import telemetry
from mcp_orchestrator.api import crds
from mcp_orchestrator.api.resolved import ResolvedTemplate
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.gateway import upstream
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.settings import Settings

PAGE = (Path(__file__).resolve().parents[2] / "docs/operations.md").read_text()
POLICY, ALERTS = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL))
METRICS = {
    name
    for registry in (telemetry.OPERATOR, telemetry.GATEWAY)
    for name in re.findall(r"^# TYPE (\S+)", telemetry.scrape(registry)[0].decode(), re.MULTILINE)
    if not name.startswith("process_")
}


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_on_the_page(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_names_no_metric_that_is_not_there() -> None:
    assert upstream.RESTARTS.describe()[0].name.removesuffix("_total") + "_total" in METRICS
    first = "mcp_orchestrator|controller_runtime|workqueue|rest_client|leader_election"
    assert {*re.findall(rf"\b(?:{first})_\w+", PAGE)} == METRICS


def test_the_page_asks_alerts_of_metrics_only() -> None:
    assert len({alert["alert"] for alert in ALERTS}) == len(ALERTS)
    assert all(any(name in alert["expr"] for name in METRICS) for alert in ALERTS)


def test_the_network_policy_is_for_gateways_and_lets_runs_in() -> None:
    server = manifests.server_deployment(a_server("time"), Settings())["spec"]["template"]
    status = WorkflowRunStatus(template=ResolvedTemplate(digest="sha256:0", spec=a_spec()), job_name="job")
    run = runjob.run_job(
        a_run("run", status=status), timeout_seconds=1, seconds_left=1, traceparent="", settings=Settings()
    )["spec"]["template"]
    (rule,) = POLICY["spec"]["ingress"]
    chosen, allowed = POLICY["spec"]["podSelector"]["matchLabels"], rule["from"][0]["podSelector"]["matchLabels"]
    assert chosen.items() <= server["metadata"]["labels"].items()
    assert not chosen.items() <= run["metadata"]["labels"].items()
    assert allowed.items() <= run["metadata"]["labels"].items()
    (port,) = rule["ports"]
    assert port["port"] == server["spec"]["containers"][0]["ports"][0]["containerPort"]


def test_the_removal_takes_all_kinds() -> None:
    (listed,) = re.findall(r"kubectl delete crd \{(.*?)\}", PAGE)
    assert set(listed.split(",")) == {kind.plural for kind in crds.EVERY_KIND}
