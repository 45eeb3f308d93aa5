"""The chart's values: a misspelt one is refused, and every one of them does something."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests import cluster
from tests.chart import helm

DEFAULTS = yaml.safe_load((helm.CHART / "values.yaml").read_text())
WHOLE = {
    "affinity", "livenessProbe", "podSecurityContext", "readinessProbe", "resources", "securityContext", "startupProbe",
}  # fmt: skip
"""Values that are handed on as they are, and so are not looked into."""

MAY_BE_NONE = {"hostUsers", "limits.perNamespace", "nodeSelector", "tolerations", "topologySpreadConstraints"}
"""Values that may be null, beside those."""

OTHER: dict[str, Any] = {
    "affinity": {"nodeAffinity": {}},
    "cache.secretName": "cache",
    "commonAnnotations": {"a": "b"},
    "commonLabels": {"a": "b"},
    "crds.annotations": {"a": "b"},
    "extraEnv": [{"name": "A", "value": "b"}],
    "extraObjects": ["apiVersion: v1\nkind: ConfigMap\nmetadata: {name: extra}"],
    "hostUsers": False,
    "image.digest": "sha256:" + "a" * 64,
    "image.pullPolicy": "Always",
    "imagePullSecrets": [{"name": "a"}],
    "livenessProbe": {"httpGet": {"path": "/x", "port": "http"}},
    "limits.namespaces": {"a": 1},
    "limits.perNamespace": 1,
    "logLevel": "DEBUG",
    "metrics.podMonitor.enabled": False,
    "metrics.podMonitor.interval": "15s",
    "metrics.podMonitor.labels": {"a": "b"},
    "metrics.serviceMonitor.enabled": False,
    "metrics.serviceMonitor.interval": "15s",
    "metrics.serviceMonitor.labels": {"a": "b"},
    "mode": "development",
    "nodeSelector": {"a": "b"},
    "objectStore.endpoint": "https://store.example",
    "objectStore.maxResultBytes": 1048576,
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "podSecurityContext": {"runAsUser": 20000},
    "rbac.scope": "namespaced",
    "readinessProbe": {"httpGet": {"path": "/x", "port": "http"}},
    "resources": {"limits": {"memory": "1Gi"}},
    "securityContext": {"runAsUser": 20000},
    "serviceAccount.annotations": {"a": "b"},
    "startupProbe": {"httpGet": {"path": "/x", "port": "http"}},
    "tolerations": [{"operator": "Exists"}],
    "topologySpreadConstraints": [],
    "watchNamespaces": ["a"],
    "workloads.imagePullPolicy": "Always",
}
"""Another value for each, where it does not follow from the default."""

CONTEXT: dict[str, dict[str, Any]] = {
    "crds": {"crds": {"install": True}},
    "metrics": {"metrics": {"podMonitor": {"enabled": True}, "serviceMonitor": {"enabled": True}}},
    "objectStore": {"objectStore": {"bucket": "results"}},
    "serviceAccount.create": {"serviceAccount": {"name": "a"}},
}
"""What else must be set for a value to act."""


def leaves(values: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with its path."""
    for key, value in values.items():
        path = f"{above}{key}"
        if isinstance(value, dict) and value and path not in WHOLE:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def other(path: str, default: Any) -> Any:
    """A value that is not the default."""
    if path in OTHER:
        return OTHER[path]
    if isinstance(default, bool):
        return not default
    return default + 1 if isinstance(default, int) else "other"


def nested(path: str, value: Any) -> dict[str, Any]:
    """The value as helm takes it."""
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Two trees of values; `above` wins."""
    result = dict(below)
    for key, value in above.items():
        found = result.get(key)
        result[key] = merged(found, value) if isinstance(found, dict) and isinstance(value, dict) else value
    return result


@pytest.mark.parametrize(("path", "default"), [pytest.param(*leaf, id=leaf[0]) for leaf in leaves(DEFAULTS)])
def test_every_value_changes_what_is_installed(path: str, default: Any) -> None:
    around = merged(helm.NO_CRDS, CONTEXT.get(path, CONTEXT.get(path.split(".", maxsplit=1)[0], {})))
    assert helm.render(around) != helm.render(merged(around, nested(path, other(path, default))))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("replicacount", 3, id="misspelt"),
        pytest.param("image.tags", "v1", id="misspelt-inside"),
        pytest.param("metrics.serviceMonitor.enable", True, id="misspelt-deep-inside"),
        pytest.param("replicaCount", "3", id="text-for-a-number"),
        pytest.param("fullnameOverride", "MCP", id="a-name-that-no-object-can-have"),
        pytest.param("nameOverride", "1", id="a-name-that-no-service-can-have"),
        pytest.param("logLevel", "TRACE", id="unknown-level"),
        pytest.param("rbac.scope", "Namespaced", id="unknown-scope"),
        pytest.param("image.digest", "sha256:abc", id="short-digest"),
        pytest.param("watchNamespaces", "a,b", id="text-for-a-list"),
        pytest.param("timeoutMilliseconds", 60, id="seconds-for-milliseconds"),
        pytest.param("objectStore.endpoint", "https://me:password@store", id="credentials-in-an-endpoint"),
        pytest.param(
            "extraEnv", [{"name": "MCP_ORCHESTRATOR_WORKERS", "value": "1"}], id="a-variable-of-the-charts-own"
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_name(path: str, value: Any) -> None:
    with pytest.raises(helm.Refused, match=re.escape(path.rsplit(".", maxsplit=1)[-1])):
        helm.render(nested(path, value))


def sections(values: dict[str, Any], above: str = "") -> Iterator[str]:
    """The paths of all values, and of what they stand in."""
    for key, value in values.items():
        yield f"{above}{key}"
        if isinstance(value, dict) and f"{above}{key}" not in WHOLE:
            yield from sections(value, f"{above}{key}.")


@pytest.mark.parametrize("path", [*sections(DEFAULTS)])
def test_a_value_that_is_taken_away_is_refused_with_its_name_unless_there_may_be_none(path: str) -> None:
    """null is how helm takes a default away: a number would become 0, and a limit of 0 lets no run start."""
    if path in WHOLE | MAY_BE_NONE:
        assert helm.render(merged(helm.NO_CRDS, nested(path, None)))
    else:
        with pytest.raises(helm.Refused, match=f"missing property '{path.rsplit('.', maxsplit=1)[-1]}'"):
            helm.render(nested(path, None))


def test_values_of_a_parent_chart_are_let_through() -> None:
    assert helm.render(helm.NO_CRDS | {"global": {"anything": 1}}) == helm.render()


def test_every_value_is_explained() -> None:
    lines = (helm.CHART / "values.yaml").read_text().splitlines()
    for path, _ in leaves(DEFAULTS):
        key = path.rsplit(".", maxsplit=1)[-1]
        depth = "  " * path.count(".")
        places = [number for number, line in enumerate(lines) if re.match(rf"{depth}{key}:", line)]
        assert any(_is_explained(lines, number) for number in places), path


def _is_explained(lines: list[str], number: int) -> bool:
    """Whether a `# --` stands in the comment right above the line."""
    above = []
    while lines[number - 1].strip().startswith("#"):
        number -= 1
        above.append(lines[number].strip())
    return any(line.startswith("# -- ") for line in above)


def test_the_chart_passes_helms_own_check() -> None:
    done = helm.run("lint", "--strict", str(helm.CHART))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_chart_and_the_program_have_one_version() -> None:
    chart = yaml.safe_load((helm.CHART / "Chart.yaml").read_text())
    project = tomllib.loads((cluster.ROOT / "pyproject.toml").read_text())["project"]
    assert chart["version"] == chart["appVersion"] == project["version"]


def test_uninstalling_keeps_the_kinds_and_their_objects() -> None:
    for values, policy in (({}, {"helm.sh/resource-policy": "keep"}), ({"crds": {"keep": False}}, None)):
        found = [one for one in helm.objects(values) if one["kind"] == "CustomResourceDefinition"]
        assert [one["metadata"].get("annotations") for one in found] == [policy] * 5


def test_every_object_has_the_standard_labels() -> None:
    for one in helm.objects(helm.NO_CRDS | {"metrics": CONTEXT["metrics"]["metrics"]}):
        labels = one["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == helm.RELEASE
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert {"app.kubernetes.io/name", "app.kubernetes.io/version", "helm.sh/chart"} <= labels.keys()


def test_no_two_objects_have_one_name() -> None:
    found = [(one["kind"], one["metadata"].get("namespace"), one["metadata"]["name"]) for one in helm.objects({})]
    assert len(found) == len(set(found))
