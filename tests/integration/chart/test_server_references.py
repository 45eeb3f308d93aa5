"""Who makes MCPServers names in them the Secrets and ConfigMaps that he may read, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.chart.place import Place, a_server, grant, naming, refusal, rule, until

from mcp_orchestrator.api.base import GROUP

HEADER = {"name": "Authorization", "secretKeyRef": {"name": "theirs", "key": "k"}}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({}, id="none"),
        pytest.param(naming("mine", "mine", "mine"), id="one-three-times"),
        pytest.param(naming(*(f"s{n}" for n in range(8))), id="eight"),
        pytest.param({"volumes": [{"name": "v", "mountPath": "/v", "emptyDir": {}}]}, id="another-volume"),
        pytest.param({"env": [{"name": "A", "value": "b"}]}, id="another-variable"),
        pytest.param({"volumes": [{"name": "v", "mountPath": "/v", "configMap": {"name": "mine"}}]}, id="configmap"),
    ],
)
def test_an_author_may_name_secrets_that_he_may_read(place: Place, spec: dict[str, Any]) -> None:
    assert refusal(place, a_server(**spec)) == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(naming("mine", "theirs"), "may not read secrets/theirs", id="variable"),
        pytest.param(
            {"stdio": None, "remote": {"url": "https://a.example", "headers": [HEADER]}},
            "may not read secrets/theirs",
            id="header",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "mountPath": "/v", "secret": {"name": "theirs"}}]},
            "may not read secrets/theirs", id="volume",
        ),
        pytest.param({"imagePullSecrets": [{"name": "theirs"}]}, "may not read secrets/theirs", id="pull-secret"),
        pytest.param(naming(*(f"s{n}" for n in range(9))), "more than 8 Secrets and ConfigMaps", id="nine"),
        pytest.param(
            {"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "theirs", "key": "k"}}}]},
            "may not read configmaps/theirs", id="variable-of-a-configmap",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "mountPath": "/v", "configMap": {"name": "theirs"}}]},
            "may not read configmaps/theirs", id="configmap",
        ),
        pytest.param({"serviceAccountName": "rich"}, "may not create pods", id="service-account"),
        pytest.param(
            {"volumes": [{"name": "v", "mountPath": "/v", "persistentVolumeClaim": {"name": "theirs"}}]},
            "may not create pods", id="volume-claim",
        ),
    ],
)  # fmt: skip
def test_an_author_may_not_use_what_he_may_not_read(place: Place, spec: dict[str, Any], words: str) -> None:
    assert words in refusal(place, a_server(**spec))


def test_who_may_read_and_make_everything_may_name_as_many_as_fit(place: Place) -> None:
    rights = (rule("secrets", "get"), rule("configmaps", "get"), rule("pods", "create"))
    grant(place, "bob", "keeper", rule("mcpservers", "create", group=GROUP), *rights)
    until(lambda: refusal(place, a_server(), "bob") == "")
    volumes = [
        {"name": f"v{n}", "mountPath": f"/v{n}", source: {"name": f"{source}-{n}".lower()}}
        for n, source in enumerate(("configMap", "persistentVolumeClaim") * 8)
    ]
    names = tuple(f"s{n:03}{'x' * 249}" for n in range(64))
    assert refusal(place, a_server(**naming(*names), volumes=volumes), "bob") == ""


def test_a_server_with_a_foreign_secret_can_be_labelled_but_not_changed(place: Place) -> None:
    place.make(a_server("boss", **naming("theirs")))
    words = ("patch", "mcpserver", "boss", "--type=merge", "--as=alice", "-p")
    assert "may not read" in place.kubectl(*words, '{"spec": {"stdio": {"command": "env"}}}')
    assert "patched" in place.kubectl(*words, '{"metadata": {"labels": {"a": "b"}}}')
    assert "patched" in place.kubectl(*words, '{"spec": {"env": null}}')
