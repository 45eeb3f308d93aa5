"""Who makes MCPServers names in them the Secrets that he may read, and no others."""

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
    ],
)
def test_an_author_may_name_secrets_that_he_may_read(place: Place, spec: dict[str, Any]) -> None:
    assert refusal(place, a_server(**spec)) == ""


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        pytest.param(naming("mine", "theirs"), "may not read the Secret theirs", id="variable"),
        pytest.param(
            {"stdio": None, "remote": {"url": "https://a.example", "headers": [HEADER]}},
            "may not read the Secret theirs",
            id="header",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "mountPath": "/v", "secret": {"name": "theirs"}}]},
            "may not read the Secret theirs", id="volume",
        ),
        pytest.param({"imagePullSecrets": [{"name": "theirs"}]}, "may not read the Secret theirs", id="pull-secret"),
        pytest.param(naming(*(f"s{n}" for n in range(9))), "more than 8 Secrets", id="nine"),
        pytest.param({"serviceAccountName": "rich"}, "may not create pods", id="service-account"),
    ],
)  # fmt: skip
def test_an_author_may_not_use_what_he_may_not_read(place: Place, spec: dict[str, Any], words: str) -> None:
    assert words in refusal(place, a_server(**spec))


def test_who_may_read_all_secrets_may_name_as_many_as_fit(place: Place) -> None:
    grant(place, "bob", "keeper", rule("mcpservers", "create", group=GROUP), rule("secrets", "get"))
    until(lambda: refusal(place, a_server(), "bob") == "")
    assert refusal(place, a_server(**naming(*(f"s{n}" for n in range(64)))), "bob") == ""


def test_a_server_with_a_foreign_secret_can_be_labelled_but_not_changed(place: Place) -> None:
    place.make(a_server("boss", **naming("theirs")))
    words = ("patch", "mcpserver", "boss", "--type=merge", "--as=alice", "-p")
    assert "may not read" in place.kubectl(*words, '{"spec": {"stdio": {"command": "env"}}}')
    assert "patched" in place.kubectl(*words, '{"metadata": {"labels": {"a": "b"}}}')
    assert "patched" in place.kubectl(*words, '{"spec": {"env": null}}')
