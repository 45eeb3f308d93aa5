"""Child objects: safe for every legal server and run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.builders import a_run, a_server, a_spec

from mcp_orchestrator.api.cache import CacheMode
from mcp_orchestrator.api.mcpserver import MCPServer, MCPServerSpec
from mcp_orchestrator.api.resolved import ResolvedTemplate
from mcp_orchestrator.api.workflow import RunnerPod
from mcp_orchestrator.api.workflowrunstatus import WorkflowRunStatus
from mcp_orchestrator.planning.children import manifests, runjob
from mcp_orchestrator.settings import ObjectStore, Settings

SETTINGS = Settings(image="ours:1", image_pull_policy="Never", mode="development", log_level="DEBUG")
DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]|")
TOKEN = {"name": "Authorization", "prefix": "Bearer ", "secretKeyRef": {"name": "keys", "key": "token"}}
SOURCES: dict[str, dict[str, Any]] = {
    "stdio": {"stdio": {"command": "uvx", "args": ["mcp-server-time"]}},
    "stdio with an image": {"stdio": {"command": "serve", "image": "theirs:1"}},
    "http": {"http": {"image": "theirs:1", "port": 3000, "command": ["serve"], "args": ["--port=3000"]}},
    "remote": {"remote": {"url": "https://mcp.example.com/mcp", "headers": [TOKEN]}},
}
OPTIONS: dict[str, Any] = {
    "env": [
        {"name": "LEVEL", "value": "debug"},
        {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
        {"name": "ZONE", "valueFrom": {"configMapKeyRef": {"name": "zones", "key": "zone"}}},
    ],
    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "serviceAccountName": "reader",
    "imagePullSecrets": [{"name": "registry"}],
    "volumes": [
        {"name": "scratch", "mountPath": "/scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"name": "notes"}},
        {"name": "conf", "mountPath": "/conf", "readOnly": True, "configMap": {"name": "conf"}},
        {"name": "cert", "mountPath": "/cert", "readOnly": True, "secret": {"name": "cert"}},
    ],
}

every_source = pytest.mark.parametrize("spec", [pytest.param(spec, id=name) for name, spec in SOURCES.items()])


def server_of(spec: Mapping[str, Any], name: str = "time") -> MCPServer:
    return a_server(name, spec=MCPServerSpec.model_validate(spec))


def deployment_of(spec: Mapping[str, Any], name: str = "time") -> dict[str, Any]:
    return manifests.server_deployment(server_of(spec, name), SETTINGS)


def containers_of(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    pod = deployment_of(spec)["spec"]["template"]["spec"]
    return {container["name"]: container for container in pod["containers"]}


def job_of(
    name: str = "run-1",
    pod: Mapping[str, Any] | None = None,
    template: str | None = "notes",
    settings: Settings = SETTINGS,
    **fields: Any,
) -> dict[str, Any]:
    spec = a_spec(**({"pod": RunnerPod.model_validate(pod)} if pod else {}))
    named = {"name": template} if template else {}
    status = WorkflowRunStatus(
        template=ResolvedTemplate(**named, digest="sha256:0", spec=spec),
        job_name=manifests.job_name(name, f"uid-of-{name}", 1),
    )
    run = a_run(name, status=status, **fields)
    return runjob.run_job(run, timeout_seconds=90, seconds_left=90, traceparent="00-a-b-01", settings=settings)


def pods() -> Iterator[Any]:
    for name, spec in SOURCES.items():
        yield pytest.param(deployment_of(spec)["spec"]["template"]["spec"], id=name)
        if name != "remote":
            full = deployment_of(spec | OPTIONS)["spec"]["template"]["spec"]
            yield pytest.param(full, id=f"{name} with all options")
    yield pytest.param(job_of()["spec"]["template"]["spec"], id="run")


def environment(container: Mapping[str, Any]) -> dict[str, Any]:
    names = [variable["name"] for variable in container["env"]]
    assert len(names) == len(set(names))
    return {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}


def as_kubelet_expands(text: str, variables: Mapping[str, str]) -> str:
    """What a container sees of an environment value: $(NAME) is replaced if it is known, and $$ means $."""

    def one(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", one, text)


@pytest.mark.parametrize("pod", [*pods()])
def test_every_pod_meets_the_restricted_security_standard(pod: Mapping[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & set(pod)
    assert not any("hostPath" in volume for volume in pod["volumes"])
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


@pytest.mark.parametrize("pod", [*pods()])
def test_every_container_can_write_to_tmp_and_mounts_only_volumes_that_are_there(pod: Mapping[str, Any]) -> None:
    names = {volume["name"] for volume in pod["volumes"]}
    assert {"name": "tmp", "emptyDir": {}} in pod["volumes"]
    for container in pod["containers"]:
        assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
        assert {mount["name"] for mount in container["volumeMounts"]} <= names


@pytest.mark.parametrize("pod", [*pods()])
def test_every_container_reserves_something(pod: Mapping[str, Any]) -> None:
    assert all(container["resources"].get("requests") for container in pod["containers"])


@every_source
def test_a_server_has_no_token_and_no_foreign_services_in_its_environment(spec: dict[str, Any]) -> None:
    pod = deployment_of(spec | {"serviceAccountName": "reader"})["spec"]["template"]["spec"]

    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert pod["serviceAccountName"] == "reader"


@every_source
def test_children_belong_to_their_server(spec: dict[str, Any]) -> None:
    server = server_of(spec)
    for child in (manifests.server_service(server), manifests.server_deployment(server, SETTINGS)):
        assert (child["metadata"]["name"], child["metadata"]["namespace"]) == ("time", "default")
        assert child["metadata"]["ownerReferences"] == [
            {
                "apiVersion": "mcp-orchestrator.io/v1alpha1",
                "kind": "MCPServer",
                "name": "time",
                "uid": "uid-of-time",
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ]
        assert child["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mcp-orchestrator"
        assert child["metadata"]["labels"]["mcp-orchestrator.io/server"] == "time"


@every_source
def test_the_service_and_the_deployment_pick_the_pods(spec: dict[str, Any]) -> None:
    deployment, service = deployment_of(spec), manifests.server_service(server_of(spec))
    labels = deployment["spec"]["template"]["metadata"]["labels"]

    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    assert service["spec"]["ports"] == [{"name": "mcp", "port": 8080, "targetPort": "mcp", "protocol": "TCP"}]
    (port,) = containers_of(spec)["gateway"]["ports"]
    assert port == {"name": "mcp", "containerPort": 15080, "protocol": "TCP"}


@pytest.mark.parametrize(
    ("replicas", "said"),
    [
        pytest.param({}, {}, id="unset: left to an autoscaler"),
        pytest.param({"replicas": 0}, {"replicas": 0}, id="zero"),
        pytest.param({"replicas": 3}, {"replicas": 3}, id="three"),
    ],
)
def test_replicas_are_said_only_if_the_spec_says_them(replicas: dict[str, int], said: dict[str, int]) -> None:
    spec = deployment_of(SOURCES["stdio"] | replicas)["spec"]

    assert {name: spec[name] for name in ("replicas",) if name in spec} == said


def test_a_pod_with_a_claim_ends_before_the_one_that_takes_its_place() -> None:
    claim = {"name": "data", "mountPath": "/data", "persistentVolumeClaim": {"name": "notes"}}
    strategy = deployment_of(SOURCES["stdio"] | {"volumes": [claim]})["spec"]["strategy"]

    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}}
    assert "strategy" not in deployment_of(SOURCES["stdio"])["spec"]


@pytest.mark.parametrize(
    ("source", "images"),
    [
        pytest.param("stdio", {"gateway": "ours:1"}, id="stdio"),
        pytest.param("stdio with an image", {"gateway": "theirs:1"}, id="stdio with an image"),
        pytest.param("http", {"gateway": "ours:1", "server": "theirs:1"}, id="http"),
        pytest.param("remote", {"gateway": "ours:1"}, id="remote"),
    ],
)
def test_each_source_has_its_containers(source: str, images: dict[str, str]) -> None:
    containers = containers_of(SOURCES[source])

    assert {name: container["image"] for name, container in containers.items()} == images
    assert containers["gateway"]["args"] == ["gateway"]
    assert all(container["imagePullPolicy"] == "Never" for container in containers.values())


@pytest.mark.parametrize(
    ("source", "owner"),
    [pytest.param("stdio", "gateway", id="stdio"), pytest.param("http", "server", id="http")],
)
def test_what_the_spec_says_of_the_process_goes_to_its_container(source: str, owner: str) -> None:
    containers = containers_of(SOURCES[source] | OPTIONS)
    pod = deployment_of(SOURCES[source] | OPTIONS)["spec"]["template"]["spec"]
    container = containers.pop(owner)

    variables = environment(container)
    assert variables["LEVEL"] == "debug"
    assert variables["API_KEY"] == {"secretKeyRef": {"name": "keys", "key": "api"}}
    assert variables["ZONE"] == {"configMapKeyRef": {"name": "zones", "key": "zone"}}
    assert container["resources"] == {"requests": {"cpu": "50m"}, "limits": {"memory": "1Gi"}}
    assert container["volumeMounts"][1:] == [
        {"name": "scratch", "mountPath": "/scratch"},
        {"name": "data", "mountPath": "/data"},
        {"name": "conf", "mountPath": "/conf", "readOnly": True},
        {"name": "cert", "mountPath": "/cert", "readOnly": True},
    ]
    assert pod["volumes"][1:] == [
        {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "notes"}},
        {"name": "conf", "configMap": {"name": "conf"}},
        {"name": "cert", "secret": {"secretName": "cert"}},
    ]
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    for gateway in containers.values():
        assert "API_KEY" not in environment(gateway)
        assert len(gateway["volumeMounts"]) == 1


def test_the_secrets_of_headers_are_references_in_the_environment_and_never_values() -> None:
    containers = containers_of(SOURCES["remote"])
    variables = environment(containers["gateway"])

    assert variables["MCP_ORCHESTRATOR_HEADER_0"] == {"secretKeyRef": {"name": "keys", "key": "token"}}
    assert json.loads(variables["MCP_ORCHESTRATOR_GATEWAY"])["remote"] == {
        "url": "https://mcp.example.com/mcp",
        "allowPrivate": False,
        "headers": [{"name": "Authorization", "prefix": "Bearer ", "env": "MCP_ORCHESTRATOR_HEADER_0"}],
    }


def test_the_gateway_is_told_what_to_serve() -> None:
    spec = SOURCES["http"] | {"timeoutSeconds": 5, "healthCheck": {"intervalSeconds": 7}, "protocol": "2025-11-25"}

    assert manifests.gateway_configuration(server_of(spec)) == {
        "name": "time",
        "namespace": "default",
        "protocol": "2025-11-25",
        "timeoutSeconds": 5,
        "healthCheck": {"intervalSeconds": 7, "timeoutSeconds": 10},
        "http": {"url": "http://127.0.0.1:3000/mcp"},
    }


@settings(max_examples=40)
@example(["$$", "$(HOME)", "a$$(HOME)", "$$$(HOME)"])
@given(st.lists(st.text(alphabet='$(){}"\\aHOME \n', max_size=12), max_size=3))
def test_the_gateway_reads_the_arguments_just_as_they_were_written(args: list[str]) -> None:
    """Kubernetes replaces $(NAME) and $$ in the values of environment variables."""
    containers = containers_of({"stdio": {"command": "serve", "args": args}})
    value = environment(containers["gateway"])["MCP_ORCHESTRATOR_GATEWAY"]

    seen = json.loads(as_kubelet_expands(value, {"HOME": "/root", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}))

    assert seen["stdio"] == {"command": "serve", "args": args}


@settings(max_examples=60)
@given(
    st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?){0,6}", fullmatch=True),
    st.integers(1, 99),
)
def test_a_job_name_is_a_dns_label_that_leaves_room_for_the_names_of_pods(run: str, attempt: int) -> None:
    name = manifests.job_name(run, "uid", attempt)

    assert DNS_LABEL.fullmatch(name)
    assert len(name) + len("-abcde") <= 63
    assert name == manifests.job_name(run, "uid", attempt)


def test_a_job_name_differs_by_run_and_attempt() -> None:
    names = {manifests.job_name("run", uid, attempt) for uid in ("a", "b") for attempt in (1, 2, 11)}

    assert len(names) == 6


def test_a_job_runs_once_and_has_an_end() -> None:
    job = job_of()

    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"
    assert job["spec"]["podReplacementPolicy"] == "Failed"
    assert job["spec"]["activeDeadlineSeconds"] == 90 + runjob.START_SECONDS
    assert job["metadata"]["ownerReferences"][0]["uid"] == "uid-of-run-1"
    assert job["metadata"]["ownerReferences"][0]["kind"] == "WorkflowRun"


def test_the_runner_knows_its_run_and_its_pod() -> None:
    (runner,) = job_of()["spec"]["template"]["spec"]["containers"]

    assert (runner["image"], runner["args"]) == ("ours:1", ["runner"])
    assert environment(runner) == {
        "MCP_ORCHESTRATOR_RUN_NAME": "run-1",
        "MCP_ORCHESTRATOR_RUN_NAMESPACE": "default",
        "MCP_ORCHESTRATOR_RUN_TIMEOUT_SECONDS": "90",
        "MCP_ORCHESTRATOR_LOG_LEVEL": "DEBUG",
        "MCP_ORCHESTRATOR_MODE": "development",
        "MCP_ORCHESTRATOR_CACHE_MAX_ANSWERS": "500",
        "TRACEPARENT": "00-a-b-01",
        "MCP_ORCHESTRATOR_POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "MCP_ORCHESTRATOR_POD_UID": {"fieldRef": {"fieldPath": "metadata.uid"}},
    }


def test_the_runner_gets_the_keys_of_the_object_store_by_reference_and_starts_without_them() -> None:
    store = ObjectStore("results", secret_name="bucket-keys")  # noqa: S106 - its name
    (runner,) = job_of(settings=replace(SETTINGS, object_store=store))["spec"]["template"]["spec"]["containers"]
    found = environment(runner)
    assert found["MCP_ORCHESTRATOR_OBJECT_STORE_BUCKET"] == "results"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert found[name] == {"secretKeyRef": {"name": "bucket-keys", "key": name, "optional": True}}
    own = {"name": "bucket-keys", "key": "ca.crt", "optional": True}
    assert found["MCP_ORCHESTRATOR_OBJECT_STORE_CA"] == {"secretKeyRef": own}


def test_a_runner_with_an_identity_of_its_own_gets_no_keys() -> None:
    store = ObjectStore("results")
    (runner,) = job_of(settings=replace(SETTINGS, object_store=store))["spec"]["template"]["spec"]["containers"]
    assert not any("secretKeyRef" in (variable.get("valueFrom") or {}) for variable in runner["env"])


def test_the_runner_learns_where_the_cache_is_by_reference_and_starts_without_it() -> None:
    settings = replace(SETTINGS, cache_secret="cache")  # noqa: S106 - its name
    (runner,) = job_of(settings=settings)["spec"]["template"]["spec"]["containers"]
    found = environment(runner)
    for name, key in (("URL", "url"), ("KEY", "key"), ("CA", "ca.crt")):
        reference = {"name": "cache", "key": key, "optional": True}
        assert found[f"MCP_ORCHESTRATOR_CACHE_{name}"] == {"secretKeyRef": reference}


def test_the_runner_learns_whether_answers_may_stand_in_the_cluster() -> None:
    (runner,) = job_of(settings=replace(SETTINGS, cache_max_answers=0))["spec"]["template"]["spec"]["containers"]
    assert {name: value for name, value in environment(runner).items() if "CACHE" in name} == {
        "MCP_ORCHESTRATOR_CACHE_MAX_ANSWERS": "0"
    }


def test_a_run_that_bypasses_the_cache_does_not_learn_where_it_is() -> None:
    settings = replace(SETTINGS, cache_secret="cache")  # noqa: S106 - its name
    (runner,) = job_of(settings=settings, cache=CacheMode.BYPASS)["spec"]["template"]["spec"]["containers"]
    assert not any("CACHE" in name for name in environment(runner))


def test_a_workflow_says_where_its_runs_are_placed() -> None:
    pod = {"resources": {"limits": {"memory": "2Gi"}}, "nodeSelector": {"a": "b"}, "tolerations": [{"key": "t"}]}

    spec = job_of(pod=pod)["spec"]["template"]["spec"]

    assert spec["containers"][0]["resources"] == {"limits": {"memory": "2Gi"}}
    assert spec["nodeSelector"] == {"a": "b"}
    assert spec["tolerations"] == [{"key": "t"}]


@pytest.mark.parametrize(
    ("template", "label"),
    [
        pytest.param("notes", "notes", id="a name"),
        pytest.param("n" * 63, "n" * 63, id="the longest label"),
        pytest.param("n" * 64, None, id="a name too long for a label"),
        pytest.param(None, None, id="inline"),
    ],
)
def test_a_job_is_labelled_with_its_run_and_its_workflow(template: str | None, label: str | None) -> None:
    job = job_of(template=template)
    labels = job["metadata"]["labels"]

    assert labels["mcp-orchestrator.io/run"] == "uid-of-run-1"
    assert labels.get("mcp-orchestrator.io/template") == label
    assert job["spec"]["template"]["metadata"]["labels"] == labels
    assert all(LABEL_VALUE.fullmatch(value) for value in labels.values())


def test_runners_have_an_account_of_their_own_in_each_namespace() -> None:
    account, binding = manifests.runner_account("team-a")

    assert account["metadata"]["namespace"] == binding["metadata"]["namespace"] == "team-a"
    assert binding["roleRef"]["name"] == account["metadata"]["name"] == "mcp-orchestrator-runner"
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "mcp-orchestrator-runner", "namespace": "team-a"}]
    assert job_of()["spec"]["template"]["spec"]["serviceAccountName"] == "mcp-orchestrator-runner"


def test_a_server_is_reached_by_its_service() -> None:
    assert manifests.server_url(a_server("git")) == "http://git.default.svc:8080/mcp"
