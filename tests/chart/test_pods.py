"""The chart's pods: their posture, image, environment and number."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.chart import helm

from mcp_orchestrator import settings
from mcp_orchestrator.api.limits import Limits

DIGEST = "sha256:" + "0123456789abcdef" * 4


def test_every_pod_meets_the_restricted_pod_security_standard() -> None:
    names = []
    for name, spec in helm.pod_specs():
        names.append(name)
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
        assert {key for volume in spec.get("volumes", ()) for key in volume} <= {"name", "emptyDir", "configMap"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["capabilities"] == {"drop": ["ALL"]}
    assert len(names) == 2


def test_every_pod_is_bounded_and_gets_no_service_links() -> None:
    for _, spec in helm.pod_specs():
        assert spec["enableServiceLinks"] is False
        for container in spec["containers"]:
            assert {"requests", "limits"} <= container["resources"].keys()
            assert "memory" in container["resources"]["limits"]


def test_a_digest_wins_over_the_tag() -> None:
    values = helm.NO_CRDS | {"image": {"repository": "registry.example/mcp", "tag": "v1", "digest": DIGEST}}
    assert helm.container(values)["image"] == f"registry.example/mcp@{DIGEST}"
    assert helm.environment(values)["MCP_ORCHESTRATOR_IMAGE"] == f"registry.example/mcp@{DIGEST}"


def test_gateways_and_runners_may_have_an_image_of_their_own() -> None:
    values = helm.NO_CRDS | {"workloads": {"image": "registry.example/gateway:v2", "imagePullPolicy": "Always"}}
    environment = helm.environment(values)
    assert environment["MCP_ORCHESTRATOR_IMAGE"] == "registry.example/gateway:v2"
    assert environment["MCP_ORCHESTRATOR_IMAGE_PULL_POLICY"] == "Always"


@pytest.mark.parametrize(
    ("replicas", "expected"),
    [pytest.param(1, 0, id="one"), pytest.param(2, 1, id="two"), pytest.param(0, 0, id="none")],
)
def test_a_disruption_budget_is_for_more_than_one_replica(replicas: int, expected: int) -> None:
    found = [
        one for one in helm.objects(helm.NO_CRDS | {"replicaCount": replicas}) if one["kind"] == "PodDisruptionBudget"
    ]
    assert len(found) == expected


def test_the_operator_accepts_the_environment_that_the_chart_gives() -> None:
    values: dict[str, Any] = helm.NO_CRDS | {
        "mode": "development", "logLevel": "DEBUG", "timeoutMilliseconds": 7_200_000,
        "workers": 2, "watchNamespaces": ["a", "b"], "workloads": {"image": "x:y", "imagePullPolicy": "Never"},
        "cache": {"secretName": "cache", "maxAnswers": 7}, "idempotency": {"receiptDays": 5, "maxReceipts": 9},
    }  # fmt: skip
    read = settings.read(helm.environment(values))
    assert (read.mode, read.log_level) == ("development", "DEBUG")
    assert (read.timeout_seconds, read.workers, read.watch_namespaces) == (7200, 2, ("a", "b"))
    assert (read.image, read.image_pull_policy) == ("x:y", "Never")
    assert (read.cache_secret, read.cache_max_answers) == ("cache", 7)
    assert (read.receipt_days, read.max_receipts) == (5, 9)


def test_the_operator_knows_the_object_store_that_the_chart_names() -> None:
    given = {"bucket": "results", "prefix": "mcp/dev", "endpoint": "http://minio:9000", "secretName": "bucket-keys"}
    store = settings.read(helm.environment(helm.NO_CRDS | {"objectStore": given})).object_store
    assert store == settings.ObjectStore("results", "mcp/dev", "http://minio:9000", secret_name="bucket-keys")  # noqa: S106 - its name
    assert settings.read(helm.environment()).object_store is None


def test_the_charts_defaults_are_the_operators() -> None:
    given, default = settings.read(helm.environment()), settings.Settings()
    assert given.timeout_seconds == 3600
    assert limits_of() == Limits(max_concurrent_runs=default.max_concurrent_workflows)
    names = ("mode", "log_level", "max_concurrent_workflows", "timeout_seconds", "workers", "image_pull_policy")
    for name in (*names, "cache_secret", "cache_max_answers", "receipt_days", "max_receipts"):
        assert getattr(given, name) == getattr(default, name), name


def limits_of(values: dict[str, Any] = helm.NO_CRDS) -> Limits:
    """What the operator reads in the file that its pod mounts."""
    (path,) = (value for name, value in helm.environment(values).items() if name == "MCP_ORCHESTRATOR_LIMITS_FILE")
    spec = helm.deployment(values)["spec"]["template"]["spec"]
    (volume,) = (one for one in spec["volumes"] if "configMap" in one)
    (mount,) = (one for one in spec["containers"][0]["volumeMounts"] if one["name"] == volume["name"])
    held = helm.the("ConfigMap", volume["configMap"]["name"], values)["data"]
    return Limits.model_validate(yaml.safe_load(held[path.removeprefix(f"{mount['mountPath']}/")]))


def test_the_operator_accepts_the_limits_that_the_chart_gives() -> None:
    limits = {"perNamespace": 0, "namespaces": {"team-a": 1, "77": 2}, "agingSeconds": 60}
    assert limits_of(helm.NO_CRDS | {"maxConcurrentWorkflows": 3, "limits": limits}) == Limits(
        max_concurrent_runs=3,
        max_concurrent_runs_per_namespace=0,
        namespaces={"team-a": 1, "77": 2},
        aging_seconds=60,
    )


def test_other_limits_make_no_new_pods() -> None:
    changed = helm.NO_CRDS | {"maxConcurrentWorkflows": 3, "limits": {"perNamespace": 1}}
    assert helm.deployment(changed) == helm.deployment()


def test_a_pod_knows_its_name_and_namespace() -> None:
    paths = {
        one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in helm.container()["env"] if "valueFrom" in one
    }
    assert paths == {
        "MCP_ORCHESTRATOR_NAMESPACE": "metadata.namespace",
        "MCP_ORCHESTRATOR_IDENTITY": "metadata.name",
    }


def test_probes_and_the_service_use_the_operators_port() -> None:
    container = helm.container()
    assert container["args"] == ["operator"]
    assert container["ports"] == [{"name": "http", "containerPort": settings.Settings().http_port, "protocol": "TCP"}]
    paths = {kind: container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")}
    assert paths["startup"] == paths["liveness"] == {"path": "/livez", "port": "http"}
    assert paths["readiness"] == {"path": "/readyz", "port": "http"}
    assert helm.the("Service", helm.NAME)["spec"]["ports"][0]["targetPort"] == "http"


def test_the_service_picks_the_operators_pods_only() -> None:
    selector = helm.the("Service", helm.NAME)["spec"]["selector"].items()
    assert selector <= helm.deployment()["spec"]["template"]["metadata"]["labels"].items()
    assert not selector <= helm.the("Pod", f"{helm.NAME}-test-ready")["metadata"]["labels"].items()


def test_labels_of_users_do_not_break_the_selector() -> None:
    labels = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/component": "mine", "team": "red"}
    deployment = helm.deployment(helm.NO_CRDS | {"podLabels": labels, "commonLabels": labels})
    made = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= made.items()
    assert made["team"] == "red"
