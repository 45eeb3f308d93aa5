"""The CRDs against a real API server: whole objects are accepted, and one object for each constraint is refused.

The constraints are read from the CRDs themselves, so that a new one can't be forgotten; CEL rules, which no machine can
break, stand in a table that must name every rule there is.
"""

from __future__ import annotations

import copy
import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_orchestrator.cluster import errors, resources
from mcp_orchestrator.cluster.client import Client
from tests import cluster
from tests.objects import a_run, a_server, a_task, a_template, an_object

Json = dict[str, Any]
CRDS = {
    crd["spec"]["names"]["kind"]: crd
    for crd in (yaml.safe_load(path.read_text()) for path in sorted((cluster.ROOT / "crds").glob("*.yaml")))
}
RESOURCES = {
    "MCPServer": resources.MCP_SERVERS,
    "WorkflowTemplate": resources.WORKFLOW_TEMPLATES,
    "WorkflowRun": resources.WORKFLOW_RUNS,
    "CachedAnswer": resources.CACHED_ANSWERS,
    "RunReceipt": resources.RUN_RECEIPTS,
}
DIGESTS = ("CachedAnswer", "RunReceipt")
"""Kinds that are named by digests, and that have no status."""

PLACEMENT: Json = {
    "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "128Mi"}},
    "nodeSelector": {"disk": "fast"},
    "tolerations": [
        {"key": "dedicated", "operator": "Equal", "value": "mcp", "effect": "NoExecute", "tolerationSeconds": 60}
    ],
}
COMMON: Json = {
    **PLACEMENT,
    "replicas": 1,
    "protocol": "Auto",
    "timeoutSeconds": 30,
    "maxConcurrentRuns": 4,
    "retry": {"attempts": 3, "backoffSeconds": 1, "maxBackoffSeconds": 30},
    "healthCheck": {"intervalSeconds": 60, "timeoutSeconds": 10},
    "serviceAccountName": "default",
    "imagePullSecrets": [{"name": "registry"}],
}
PROCESS: Json = {
    "env": [
        {"name": "PLAIN", "value": "x"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "api"}}},
        {"name": "CONFIG", "valueFrom": {"configMapKeyRef": {"name": "config", "key": "api"}}},
    ],
    "volumes": [
        {"name": "scratch", "mountPath": "/scratch", "readOnly": False, "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "claim", "mountPath": "/claim", "persistentVolumeClaim": {"name": "claim"}},
        {"name": "config", "mountPath": "/config", "configMap": {"name": "config"}},
        {"name": "secret", "mountPath": "/secret", "secret": {"name": "keys"}},
    ],
}
NESTED: Json = {"name": "nested", "template": {"name": "other"}, "parameters": {"deep": {"er": [None]}}}
WORKFLOW: Json = {
    "description": "tells the time",
    "priority": "low",
    "estimatedDurationSeconds": 20,
    "serverWaitSeconds": 90,
    "timeoutSeconds": 60,
    "maxParallelTasks": 2,
    "parameters": [
        {
            "name": "zone",
            "description": "where",
            "schema": {"type": "string"},
            "default": "UTC",
            "sensitive": False,
        },
        {"name": "nothing", "default": None},
    ],
    "tasks": [
        a_task("now", arguments={"timezone": "${{ params.zone }}", "deep": {"er": [1, None]}}, timeoutSeconds=5),
        {
            **a_task("again", dependsOn=["now", "tasks.now.succeeded"], arguments={"timezone": "${{ item }}"}),
            "when": "params.zone != ''",
            "forEach": {
                "items": ["${{ params.zone }}"],
                "as": "item",
                "key": "item",
                "maxParallel": 2,
                "maxFailures": 1,
            },
            "deadlineSeconds": 60,
            "retry": {
                "attempts": 3,
                "backoffSeconds": 1,
                "maxBackoffSeconds": 30,
                "onErrors": ["Tool"],
                "when": "attempt < 3",
            },
            "idempotent": True,
            "cache": {"ttlSeconds": 60, "force": True},
            "successWhen": "!has(result.error)",
            "onFailure": "Continue",
        },
        NESTED,
    ],
    "finally": [
        {
            **a_task("tell", dependsOn=["now"]),
            "when": "run.failed",
            "forEach": {"items": [1], "as": "n", "key": "string(n)", "maxParallel": 1, "maxFailures": 0},
            "timeoutSeconds": 5,
            "deadlineSeconds": 9,
            "retry": {"attempts": 2, "backoffSeconds": 0, "maxBackoffSeconds": 0, "onErrors": ["Busy"], "when": "true"},
            "idempotent": False,
            "cache": {"ttlSeconds": 0, "force": False},
            "successWhen": "true",
            "onFailure": "Fail",
        },
        {**NESTED, "name": "last"},
    ],
    "finallyTimeoutSeconds": 60,
    "cache": {"ttlSeconds": 0},
    "outputs": [{"name": "time", "value": {"at": "${{ tasks.now.result.datetime }}"}, "sensitive": False}],
    "pod": PLACEMENT,
}
TIME = "2026-11-24T12:00:00Z"
SCHEDULE: Json = {
    "name": "early",
    "cron": "30 6 * * MON-FRI",
    "timeZone": "Europe/Berlin",
    "parameters": {"zone": "CET"},
    "suspend": False,
    "startingDeadlineSeconds": 600,
}
WHOLE: dict[str, Json] = {
    "stdio": a_server(
        "stdio", **COMMON, **PROCESS, stdio={"command": "uvx", "args": ["mcp-server-time"], "image": "servers:1"}
    ),
    "http": a_server(
        "http",
        **COMMON,
        **PROCESS,
        http={"image": "web:1", "port": 3000, "path": "/mcp", "command": ["serve"], "args": ["-v"]},
    ),
    "remote": a_server(
        "remote",
        **COMMON,
        remote={
            "url": "https://mcp.example.com/mcp",
            "headers": [{"name": "Authorization", "prefix": "Bearer ", "secretKeyRef": {"name": "keys", "key": "api"}}],
            "allowPrivate": False,
        },
    ),
    "template": a_template(
        "template",
        **WORKFLOW,
        concurrency={"maxRuns": 2, "policy": "Skip"},
        schedules=[SCHEDULE],
        ttlSecondsAfterFinished=3600,
        history={"succeeded": 3, "failed": 1},
    ),
    "run": a_run(
        "run",
        templateRef={"name": "template"},
        parameters={"zone": "UTC", "deep": {"er": [None]}},
        parametersFrom=[
            {"name": "key", "secretKeyRef": {"name": "keys", "key": "api"}},
            {"name": "topic", "configMapKeyRef": {"name": "settings", "key": "topic"}},
        ],
        timeoutSeconds=9,
        resumeFrom="another",
        priority="high",
        suspend=True,
        cancel="Graceful",
        cache="Refresh",
        idempotencyKey="deploy-3f2a",
        ttlSecondsAfterFinished=60,
    ),
    "inline-run": a_run("inline-run", template=WORKFLOW),
    "answer": an_object("CachedAnswer", "0" * 64, {"until": TIME, "caller": "research/1a2b3c4d", "answer": "H4sIAAAA"}),
    "receipt": an_object(
        "RunReceipt",
        "0" * 64,
        {
            "template": "research",
            "run": {"name": "research-1", "uid": "1a2b3c4d"},
            "parametersDigest": "sha256:0",
            "until": TIME,
            "phase": "Succeeded",
            "reason": "Succeeded",
            "message": "1 of 1 tasks succeeded",
            "completionTime": TIME,
            "outputs": {"deep": {"er": [None]}},
            "outputsLeftOut": False,
        },
    ),
}

Path_ = tuple[str | int, ...]


def schema_of(whole: Json) -> Json:
    """The schema of the object's kind."""
    schema: Json = CRDS[whole["kind"]]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def walk(schema: Json, value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Json, Any]]:
    """Every place of `value` that the schema describes; of a list all items, since they may differ."""
    yield path, schema, value
    if isinstance(value, dict):
        for name, below in value.items():
            found = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if found:
                yield from walk(found, below, (*path, name))
    if isinstance(value, list) and "items" in schema:
        for number, below in enumerate(value):
            yield from walk(schema["items"], below, (*path, number))


def breaches(schema: Json, value: Any) -> Iterator[tuple[str, Any]]:
    """Values that break one constraint each, with the constraint's name."""
    if "maxLength" in schema:
        yield "maxLength", ("/" if str(value).startswith("/") else "a") * (schema["maxLength"] + 1)
    if schema.get("minLength"):
        yield "minLength", ""
    if "pattern" in schema:
        candidates = ("!", "no slash", "-", "\n")
        yield "pattern", next(text for text in candidates if not re.search(schema["pattern"], text))
    if "enum" in schema:
        yield "enum", "Neither"
    if "minimum" in schema:
        yield "minimum", schema["minimum"] - 1
    if "maximum" in schema:
        yield "maximum", schema["maximum"] + 1
    if "maxItems" in schema:
        yield "maxItems", [_numbered(value[0], number) for number in range(schema["maxItems"] + 1)]
    if schema.get("minItems"):
        yield "minItems", []
    if "maxProperties" in schema:
        yield (
            "maxProperties",
            {f"k{number}": next(iter(value.values())) for number in range(schema["maxProperties"] + 1)},
        )
    for name in schema.get("required", ()):
        yield f"required-{name}", {key: below for key, below in value.items() if key != name}
    if schema.get("x-kubernetes-list-type") in ("map", "set"):
        yield "duplicate", [value[0], copy.deepcopy(value[0])]
    if schema.get("type") in ("string", "object", "array"):
        yield "type", 17
    if schema.get("type") in ("integer", "boolean"):
        yield "type", "seventeen"


def _numbered(item: Any, number: int) -> Any:
    return {**item, "name": f"{item.get('name', 'n')}{number}"} if isinstance(item, dict) else f"{item}{number}"


def constraint_cases() -> Iterator[Any]:
    """One case for each constraint of each schema, on the first object that has the place."""
    seen = set()
    for name, whole in WHOLE.items():
        for path, schema, value in walk(schema_of(whole)["properties"]["spec"], whole["spec"], ("spec",)):
            place = (whole["kind"], tuple("[]" if isinstance(part, int) else part for part in path))
            for constraint, broken in breaches(schema, value):
                if (place, constraint) in seen:
                    continue
                seen.add((place, constraint))
                shown = ".".join(str(part) for part in place[1])
                yield pytest.param(name, path, broken, id=f"{whole['kind']}-{shown}-{constraint}")


def replaced(whole: Json, path: Path_, value: Any) -> Json:
    """A copy of `whole` with `value` at `path`, under a name of its own."""
    changed = copy.deepcopy(whole)
    changed["metadata"]["name"] = 2 * uuid.uuid4().hex if whole["kind"] in DIGESTS else f"x{uuid.uuid4().hex[:10]}"
    place = changed
    for part in path[:-1]:
        place = place[part]  # type: ignore[index] # JSON: a str indexes objects, an int lists
    place[path[-1]] = value  # type: ignore[index] # likewise
    return changed


@pytest.fixture(scope="module")
def shared(kubeconfig: Path) -> Iterator[str]:
    """One namespace for all objects of this module."""
    name = f"crds-{uuid.uuid4().hex[:8]}"
    cluster.kubectl(kubeconfig, "create", "namespace", name)
    yield name
    cluster.kubectl(kubeconfig, "delete", "namespace", name, "--wait=false")


async def create(client: Client, namespace: str, whole: Json) -> Json:
    body = copy.deepcopy(whole)
    body["metadata"]["namespace"] = namespace
    return await client.create(RESOURCES[whole["kind"]], body)


@pytest.mark.parametrize("name", list(WHOLE))
async def test_an_object_with_every_field_is_accepted_and_nothing_is_pruned(
    client: Client, shared: str, name: str
) -> None:
    made = await create(client, shared, WHOLE[name])
    assert made["spec"] == WHOLE[name]["spec"]
    assert made.get("status") == (None if WHOLE[name]["kind"] in DIGESTS else {"observedGeneration": -1})


def test_the_objects_fill_every_field_of_every_spec() -> None:
    for kind, crd in CRDS.items():
        filled = set()
        for whole in WHOLE.values():
            if whole["kind"] == kind:
                for path, _, _ in walk(schema_of(whole)["properties"]["spec"], whole["spec"], ("spec",)):
                    filled.add(tuple("[]" if isinstance(part, int) else part for part in path))
        spec = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
        assert set(_places(spec, ("spec",))) - filled == set(), kind


def _places(schema: Json, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in schema.get("properties", {}).items():
        yield from _places(below, (*path, name))
    if "items" in schema:
        yield from _places(schema["items"], (*path, "[]"))


@pytest.mark.parametrize(("name", "path", "broken"), list(constraint_cases()))
async def test_a_value_that_breaks_a_constraint_is_refused_by_its_path(
    client: Client, shared: str, name: str, path: Path_, broken: Any
) -> None:
    with pytest.raises(errors.Invalid) as refusal:
        await create(client, shared, replaced(WHOLE[name], path, broken))
    field = str(path[1]) if len(path) > 1 else "spec"
    assert field in str(refusal.value)


SERVER = WHOLE["stdio"]
REMOTE = WHOLE["remote"]
RUN = WHOLE["run"]
BROKEN_RULES = [
    ("set exactly one of stdio, http and remote", replaced(SERVER, ("spec", "http"), WHOLE["http"]["spec"]["http"])),
    ("set exactly one of stdio, http and remote", a_server("none", replicas=1)),
    ("is the gateway's: let the container listen", replaced(WHOLE["http"], ("spec", "http", "port"), 15080)),
    ("remote.url must begin with https://", replaced(REMOTE, ("spec", "remote", "url"), "http://mcp.example.com/mcp")),
    ("a remote server has no process here", replaced(REMOTE, ("spec", "env"), PROCESS["env"])),
    ("exactly one of value and valueFrom", replaced(SERVER, ("spec", "env", 0), {"name": "A"})),
    ("names that begin with MCP_ORCHESTRATOR_", replaced(SERVER, ("spec", "env", 0, "name"), "MCP_ORCHESTRATOR_X")),
    ("exactly one of secretKeyRef and configMapKeyRef", replaced(SERVER, ("spec", "env", 1, "valueFrom"), {})),
    (
        "exactly one of emptyDir, persistentVolumeClaim",
        replaced(SERVER, ("spec", "volumes", 0, "secret"), {"name": "x"}),
    ),
    ("taken by the writable directory", replaced(SERVER, ("spec", "volumes", 0, "mountPath"), "/tmp")),
    ("metadata.name becomes a DNS name", SERVER | {"metadata": {"name": "9-first"}}),
    ("metadata.name becomes a DNS name", SERVER | {"metadata": {"name": "a" * 51}}),
    ("dependsOn must name other tasks", replaced(WHOLE["template"], ("spec", "tasks", 1, "dependsOn"), ["nobody"])),
    ("dependsOn must name other tasks", replaced(WHOLE["template"], ("spec", "tasks", 1, "dependsOn"), ["again"])),
    ("needs either server and tool, or template", replaced(WHOLE["template"], ("spec", "tasks", 0), {"name": "now"})),
    (
        "needs either server and tool, or template",
        replaced(WHOLE["template"], ("spec", "tasks", 0, "template"), {"name": "other"}),
    ),
    ("go with a tool, parameters with a", replaced(WHOLE["template"], ("spec", "tasks", 0, "parameters"), {"a": 1})),
    ("go with a tool, parameters with a", replaced(WHOLE["template"], ("spec", "tasks", 2, "idempotent"), True)),
    ("exactly one of secretKeyRef and configMapKeyRef", replaced(RUN, ("spec", "parametersFrom", 0), {"name": "a"})),
    ("set exactly one of templateRef and template", replaced(RUN, ("spec", "template"), WORKFLOW)),
    ("idempotencyKey is for runs of a WorkflowTemplate", a_run("inline", template=WORKFLOW, idempotencyKey="once")),
    ("set exactly one of templateRef and template", a_run("neither", timeoutSeconds=5)),
    ("with maxRuns 0, policy must be Queue", replaced(WHOLE["template"], ("spec", "concurrency", "maxRuns"), 0)),
    ("64 hexadecimal digits", WHOLE["answer"] | {"metadata": {"name": "g" * 64}}),
    ("64 hexadecimal digits", WHOLE["answer"] | {"metadata": {"name": "0" * 63}}),
    ("64 hexadecimal digits", WHOLE["answer"] | {"metadata": {"name": "0" * 65}}),
]


@pytest.mark.parametrize(("words", "broken"), BROKEN_RULES)
async def test_an_object_that_breaks_a_rule_is_refused_in_words(
    client: Client, shared: str, words: str, broken: Json
) -> None:
    with pytest.raises(errors.Invalid, match=re.escape(words)):
        await create(client, shared, broken)


def test_every_rule_has_an_object_that_breaks_it() -> None:
    messages = set(re.findall(r'"message": "((?:[^"\\]|\\.)*)"', json.dumps(CRDS)))
    tested = [words for words, _ in BROKEN_RULES] + [words for words, _, _ in FORBIDDEN_CHANGES]
    assert [message for message in messages if not any(words in message for words in tested)] == []


async def test_a_plain_remote_address_is_accepted_where_private_ones_are_allowed(client: Client, shared: str) -> None:
    inside = replaced(REMOTE, ("spec", "remote"), {"url": "http://mcp.tools.svc/mcp", "allowPrivate": True})
    assert await create(client, shared, inside)


@pytest.mark.parametrize("character", ["\x7f", "\x85", "\x9b", "\u2028", "\u2029", "\ufeff", "\ufffe", "\uffff"])
async def test_characters_that_yaml_refuses_can_be_applied_and_come_back(
    client: Client, shared: str, character: str
) -> None:
    body = a_template(f"x{uuid.uuid4().hex[:8]}", shared, description=f"é{character}😀")
    made = await client.apply(resources.WORKFLOW_TEMPLATES, body, manager="test")
    assert made["spec"]["description"] == f"é{character}😀"


REFERRING = {"templateRef": {"name": "nightly"}}
INLINE = {"template": WORKFLOW}
CANCELLED = REFERRING | {"cancel": "Graceful"}
FORBIDDEN_CHANGES: list[tuple[str, Json, Json]] = [
    ("templateRef is immutable", REFERRING, {"templateRef": {"name": "other"}}),
    ("templateRef is immutable", REFERRING, INLINE),
    ("template is immutable", INLINE, {"template": WORKFLOW | {"timeoutSeconds": 7}}),
    ("template is immutable", INLINE, REFERRING),
    ("parameters is immutable", REFERRING, REFERRING | {"parameters": {"zone": "CET"}}),
    ("parameters is immutable", REFERRING | {"parameters": {"zone": {"a": [1]}}}, REFERRING),
    (
        "parameters is immutable",
        REFERRING | {"parameters": {"zone": {"a": [1]}}},
        REFERRING | {"parameters": {"zone": {"a": [2]}}},
    ),
    (
        "parametersFrom is immutable",
        REFERRING,
        REFERRING | {"parametersFrom": [{"name": "zone", "secretKeyRef": {"name": "a", "key": "b"}}]},
    ),
    ("timeoutSeconds is immutable", REFERRING, REFERRING | {"timeoutSeconds": 10}),
    ("idempotencyKey is immutable", REFERRING | {"idempotencyKey": "one"}, REFERRING | {"idempotencyKey": "two"}),
    ("idempotencyKey is immutable", REFERRING, REFERRING | {"idempotencyKey": "one"}),
    ("resumeFrom is immutable", REFERRING | {"resumeFrom": "one"}, REFERRING | {"resumeFrom": "two"}),
    ("cache is immutable", REFERRING | {"cache": "Bypass"}, REFERRING),
    ("cancel is immutable once set", CANCELLED, REFERRING),
    ("cancel is immutable once set", REFERRING | {"cancel": "Immediate"}, CANCELLED),
    ("spec.priority is immutable while the run has its slot", REFERRING, REFERRING | {"priority": "high"}),
]


async def a_started_run(client: Client, namespace: str, spec: Json) -> Json:
    made = await create(client, namespace, a_run(f"r{uuid.uuid4().hex[:8]}", **spec))
    status = {"phase": "Running", "admittedAt": "2026-07-01T10:00:00Z"}
    body = {name: made[name] for name in ("apiVersion", "kind")} | {"status": status}
    body["metadata"] = {name: made["metadata"][name] for name in ("name", "namespace")}
    return await client.apply_status(resources.WORKFLOW_RUNS, body, manager="test")


@pytest.mark.parametrize(("words", "before", "after"), FORBIDDEN_CHANGES)
async def test_what_a_run_runs_can_not_be_changed(
    client: Client, shared: str, words: str, before: Json, after: Json
) -> None:
    made = await a_started_run(client, shared, before)
    with pytest.raises(errors.ApiError, match=f"{words}.*"):
        await client.replace(resources.WORKFLOW_RUNS, made | {"spec": after})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (REFERRING, REFERRING | {"suspend": True}),
        (REFERRING | {"suspend": True}, REFERRING),
        (REFERRING, CANCELLED),
        (CANCELLED, REFERRING | {"cancel": "Immediate", "suspend": True}),
    ],
)
async def test_orders_to_a_run_can_be_given_while_it_runs(
    client: Client, shared: str, before: Json, after: Json
) -> None:
    made = await a_started_run(client, shared, before)
    changed = await client.replace(resources.WORKFLOW_RUNS, made | {"spec": after})
    assert changed["spec"] == after


async def test_the_priority_of_a_run_can_be_changed_while_it_waits(client: Client, shared: str) -> None:
    made = await create(client, shared, a_run(f"r{uuid.uuid4().hex[:8]}", **REFERRING, priority="low"))
    changed = await client.replace(resources.WORKFLOW_RUNS, made | {"spec": REFERRING | {"priority": "high"}})
    assert changed["spec"]["priority"] == "high"


def test_kubectl_explains_every_field(kubeconfig: Path) -> None:
    for crd in CRDS.values():
        plural = f"{crd['spec']['names']['plural']}.{crd['spec']['group']}"
        explained = cluster.kubectl(kubeconfig, "explain", plural, "--recursive=false")
        assert "<no description>" not in explained
        assert "DESCRIPTION" in explained


def test_short_names_columns_and_field_selectors_work(kubeconfig: Path, shared: str) -> None:
    listed = cluster.kubectl(kubeconfig, "-n", shared, "get", "msrv,mtpl,mrun")
    assert "REPLICAS" in listed
    assert "WAITING" in listed
    chosen = cluster.kubectl(
        kubeconfig, "-n", shared, "get", "mrun", "--field-selector", "spec.templateRef.name=template"
    )
    assert "run" in chosen
    assert "inline-run" not in chosen
