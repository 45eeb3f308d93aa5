"""What the store keeps of each kind, and who is woken by a change of what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mcp_orchestrator.api.mcpserver import MCPServer
from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate
from mcp_orchestrator.controllers import records
from mcp_orchestrator.controllers.records import Waker
from mcp_orchestrator.controllers.store import Key, Store
from mcp_orchestrator.planning.children import runjob
from mcp_orchestrator.planning.queue import admission, candidates

SERVER_SPEC = {"stdio": {"command": "uvx"}}
CALLS_TIME = {"tasks": [{"name": "now", "server": "time", "tool": "t"}]}
CALLS_GIT = {"tasks": [{"name": "log", "server": "git", "tool": "t"}]}
PENDING = {"phase": "Pending"}
QUEUED = {"phase": "Queued"}
RUNNING = {"phase": "Running", "admittedAt": "2026-01-02T03:04:05Z"}
SUCCEEDED = {**RUNNING, "phase": "Succeeded"}


class Cluster:
    """Objects as they arrive, and the keys that are woken by them."""

    def __init__(self) -> None:
        self.store: Store = records.new_store()
        self.woken: list[tuple[str, str]] = []
        self.version = 0
        Waker(self.store, lambda key: self.woken.append((key.kind, key.name)))

    def put(self, kind: str, name: str, namespace: str = "default", **fields: Any) -> list[tuple[str, str]]:
        """The object is seen; who is woken by it."""
        self.version += 1
        self.woken.clear()
        given = fields.pop("metadata", {})
        known = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": str(self.version)}
        self.store.upsert(kind, {"metadata": known | given, **fields})
        return sorted(self.woken)

    def delete(self, kind: str, name: str) -> list[tuple[str, str]]:
        self.woken.clear()
        self.store.delete(Key(kind, "default", name), name)
        return sorted(self.woken)

    def get(self, kind: str, name: str) -> Any:
        return self.store.get(Key(kind, "default", name))


def owned_by(kind: str, name: str, controller: bool = True) -> dict[str, Any]:
    return {"ownerReferences": [{"kind": kind, "name": name, "uid": f"uid-of-{name}", "controller": controller}]}


@pytest.mark.parametrize("label", [{}, {runjob.QUEUE_LABEL: "team-a"}])
@pytest.mark.parametrize("queue", [{}, {"kueueQueue": "team-a"}])
@pytest.mark.parametrize("template", [{"templateRef": {"name": "t"}}, {}])
def test_the_store_and_the_plans_agree_on_the_places_that_a_run_has(
    label: dict[str, str], queue: dict[str, str], template: dict[str, Any]
) -> None:
    metadata = {"name": "run", "namespace": "default", "labels": label}
    servers = [{"name": "time", "url": "http://time"}, {"name": "git", "url": "http://git"}]
    body = {"metadata": metadata, "spec": template, "status": {**RUNNING, **queue, "servers": servers}}
    run = read(WorkflowRun, body)
    assert isinstance(run, WorkflowRun)
    assert records.pools(body) == candidates.pools(run, run.status.servers)
    assert (admission.CLUSTER in records.pools(body)) == (not queue)


@pytest.fixture
def cluster() -> Cluster:
    """A namespace with a server, two templates and a run in each state."""
    made = Cluster()
    made.put(records.SERVER, "time", spec=SERVER_SPEC)
    made.put(records.TEMPLATE, "clock", spec=CALLS_TIME)
    made.put(records.TEMPLATE, "notes", spec=CALLS_GIT)
    for name, status in (
        ("new", {}),
        ("pending", PENDING),
        ("queued", QUEUED),
        ("running", RUNNING),
        ("done", SUCCEEDED),
    ):
        made.put(records.RUN, name, spec={"templateRef": {"name": "clock"}}, status=status)
    made.put(records.RUN, "elsewhere", namespace="other", spec={}, status=PENDING)
    return made


# --- who is woken -----------------------------------------------------------------------------------------------------


def test_a_server_wakes_itself_the_templates_that_call_it_and_the_runs_that_wait(cluster: Cluster) -> None:
    expected = [("MCPServer", "time"), ("WorkflowRun", "pending"), ("WorkflowTemplate", "clock")]

    assert cluster.put(records.SERVER, "time", spec=SERVER_SPEC, status={"toolCount": 1}) == expected
    assert cluster.delete(records.SERVER, "time") == expected


def test_a_server_that_did_not_exist_wakes_the_templates_that_miss_it(cluster: Cluster) -> None:
    assert ("WorkflowTemplate", "notes") in cluster.put(records.SERVER, "git", spec=SERVER_SPEC)


def test_a_template_wakes_itself_and_the_runs_that_wait(cluster: Cluster) -> None:
    assert cluster.put(records.TEMPLATE, "any", spec=CALLS_GIT) == [
        ("WorkflowRun", "pending"),
        ("WorkflowTemplate", "any"),
    ]


def test_a_template_that_calls_another_server_is_woken_by_that_one_from_then_on(cluster: Cluster) -> None:
    cluster.put(records.TEMPLATE, "clock", spec=CALLS_GIT)

    assert ("WorkflowTemplate", "clock") not in cluster.put(records.SERVER, "time", spec=SERVER_SPEC)
    assert ("WorkflowTemplate", "clock") in cluster.put(records.SERVER, "git", spec=SERVER_SPEC)


@pytest.mark.parametrize("status", [{}, PENDING, RUNNING, SUCCEEDED])
def test_a_run_wakes_nobody_but_itself(cluster: Cluster, status: dict[str, Any]) -> None:
    assert cluster.put(records.RUN, "one", spec={}, status=status) == [("WorkflowRun", "one")]
    assert cluster.delete(records.RUN, "one") == [("WorkflowRun", "one")]


def test_a_run_that_no_longer_waits_is_left_alone(cluster: Cluster) -> None:
    cluster.put(records.RUN, "pending", spec={}, status=RUNNING)

    assert cluster.put(records.SERVER, "new", spec=SERVER_SPEC) == [("MCPServer", "new")]


@pytest.mark.parametrize(
    ("kind", "owner"),
    [
        pytest.param(records.JOB, records.RUN, id="job"),
        pytest.param(records.DEPLOYMENT, records.SERVER, id="deployment"),
        pytest.param(records.SERVICE, records.SERVER, id="service"),
    ],
)
def test_a_child_wakes_its_owner(cluster: Cluster, kind: str, owner: str) -> None:
    assert cluster.put(kind, "child", metadata=owned_by(owner, "x"), status={}) == [(owner, "x")]
    assert cluster.delete(kind, "child") == [(owner, "x")]


def test_a_job_wakes_its_run_by_its_end_and_not_by_what_happens_on_the_way(cluster: Cluster) -> None:
    metadata, woken = owned_by(records.RUN, "x"), [(records.RUN, "x")]
    complete = {"type": "Complete", "status": "True"}
    assert cluster.put(records.JOB, "child", metadata=metadata) == woken
    assert cluster.put(records.JOB, "child", metadata=metadata, status={"active": 1}) == []
    assert cluster.put(records.JOB, "child", metadata=metadata, status={"active": 1, "ready": 1}) == []
    assert cluster.put(records.JOB, "child", metadata=metadata, status={"conditions": [complete]}) == woken
    assert cluster.delete(records.JOB, "child") == woken


@pytest.mark.parametrize(
    "metadata",
    [
        pytest.param({}, id="nobody's"),
        pytest.param(owned_by("CronJob", "x"), id="another kind's"),
        pytest.param(owned_by(records.RUN, "x", controller=False), id="not controlled"),
    ],
)
def test_a_child_of_others_wakes_nobody(cluster: Cluster, metadata: dict[str, Any]) -> None:
    assert cluster.put(records.JOB, "child", metadata=metadata) == []


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_active_runs_are_those_with_a_slot_that_have_not_ended(cluster: Cluster) -> None:
    assert [key.name for key in cluster.store.select_keys(records.RUN, "state", "active")] == ["running"]

    cluster.put(records.RUN, "running", spec={}, status=SUCCEEDED)

    assert cluster.store.count(records.RUN, "state", "active") == 0


def test_servers_and_templates_are_kept_as_models(cluster: Cluster) -> None:
    assert isinstance(cluster.get(records.SERVER, "time"), MCPServer)
    assert isinstance(cluster.get(records.TEMPLATE, "clock"), WorkflowTemplate)


def test_what_can_not_be_read_is_kept_as_such(cluster: Cluster) -> None:
    for kind in (records.SERVER, records.TEMPLATE):
        assert (kind, "odd") in cluster.put(kind, "odd", spec={"tasks": 1, "stdio": 1})
        assert isinstance(cluster.get(kind, "odd"), Unreadable)


def test_a_run_under_way_is_kept_as_it_is(cluster: Cluster) -> None:
    status = {**RUNNING, "tasks": [{"name": "a", "phase": "Running"}], "jobName": "j"}
    cluster.put(records.RUN, "one", spec={"parameters": {"x": 1}}, status=status, metadata={"managedFields": [{}]})

    found = cluster.get(records.RUN, "one")

    assert found["spec"] == {"parameters": {"x": 1}}
    assert found["status"] == status
    assert "managedFields" not in found["metadata"]


def test_of_an_ended_run_only_the_outline_is_kept(cluster: Cluster) -> None:
    large = "x" * 10_000
    metadata = {
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": large},
        "managedFields": [large],
    }
    spec = {"templateRef": {"name": "clock"}, "parameters": {"text": large}}
    cluster.put(records.RUN, "one", spec=spec, status={**SUCCEEDED, "outputs": {"o": large}}, metadata=metadata)

    found = cluster.get(records.RUN, "one")

    assert found["status"]["phase"] == "Succeeded"
    assert found["spec"] == {"templateRef": {"name": "clock"}}
    assert found["metadata"]["creationTimestamp"] == "2026-01-02T03:04:05Z"
    assert len(json.dumps(found)) < 500


@pytest.mark.parametrize(
    ("status", "rivals"),
    [
        pytest.param({}, [], id="new"),
        pytest.param({"phase": "Pending", "waitingReason": "KeyInUse"}, [], id="waiting for the key"),
        pytest.param(QUEUED, ["keyed"], id="queued"),
        pytest.param(RUNNING, ["keyed"], id="under way"),
    ],
)
def test_a_run_with_a_key_is_a_rival_once_it_is_known_that_it_will_be_executed(
    cluster: Cluster, status: dict[str, Any], rivals: list[str]
) -> None:
    cluster.put(records.RUN, "keyed", spec={"templateRef": {"name": "notes"}, "idempotencyKey": "a"}, status=status)

    assert [key.name for key in cluster.store.select_keys(records.RUN, "template", ("default", "notes"))] == rivals


def test_runs_with_the_same_key_are_no_rivals(cluster: Cluster) -> None:
    cluster.put(records.TEMPLATE, "once", spec=CALLS_TIME | {"concurrency": {"maxRuns": 1, "policy": "Replace"}})
    for name, key in (("first", "a"), ("second", "a"), ("third", "b")):
        spec = {"templateRef": {"name": "once"}, "idempotencyKey": key}
        cluster.put(records.RUN, name, spec=spec, status=QUEUED)
    run = read(WorkflowRun, cluster.get(records.RUN, "first"))
    assert isinstance(run, WorkflowRun)

    found = records.rivals(cluster.store, run)

    assert found
    assert found.replaced_by == "third"


def test_an_ended_run_is_found_with_those_of_its_template(cluster: Cluster) -> None:
    cluster.put(records.RUN, "inline", spec={"template": {"tasks": []}}, status=SUCCEEDED)

    assert [key.name for key in cluster.store.select_keys(records.RUN, "ended", ("default", "clock"))] == ["done"]
    assert [key.name for key in cluster.store.select_keys(records.RUN, "ended", ("default", ""))] == ["inline"]


@pytest.mark.parametrize(
    ("status", "needed"),
    [
        pytest.param({}, 1, id="new"),
        pytest.param(RUNNING, 1, id="under-way"),
        pytest.param(SUCCEEDED, 1, id="ended"),
        pytest.param(
            {**SUCCEEDED, "conditions": [{"type": "ChildrenPruned", "status": "True"}]}, 0, id="without-results"
        ),
    ],
)
def test_a_run_that_another_one_resumes_is_known(cluster: Cluster, status: dict[str, Any], needed: int) -> None:
    cluster.put(records.RUN, "next", spec={"resumeFrom": "done"}, status=status)

    assert cluster.store.count(records.RUN, "resumed", ("default", "done")) == needed


def test_runs_that_wait_for_the_same_share_what_says_so(cluster: Cluster) -> None:
    for name in ("one", "two"):
        told = json.loads('{"type": "Admitted", "message": "waits for a slot", "observedGeneration": 1}')
        cluster.put(records.RUN, name, spec={}, status={**QUEUED, "conditions": [told]})
    [first], [second] = (cluster.get(records.RUN, name)["status"]["conditions"] for name in ("one", "two"))
    assert first == {"type": "Admitted", "message": "waits for a slot", "observedGeneration": 1}
    assert first is second


def test_of_a_deployment_only_the_metadata_and_the_status_are_kept(cluster: Cluster) -> None:
    cluster.put(
        records.DEPLOYMENT, "child", spec={"large": "x"}, status={"readyReplicas": 1}, metadata={"generation": 2}
    )
    assert set(cluster.get(records.DEPLOYMENT, "child")) == {"metadata", "status"}
    assert cluster.get(records.DEPLOYMENT, "child")["metadata"]["generation"] == 2


@pytest.mark.parametrize(
    ("metadata", "uid"),
    [
        pytest.param(owned_by(records.RUN, "x"), "uid-of-x", id="controlled"),
        pytest.param(owned_by(records.RUN, "x", controller=False), "", id="owned, not controlled"),
        pytest.param({}, "", id="nobody's"),
    ],
)
def test_the_owner_of_an_object_is_the_one_that_controls_it(metadata: dict[str, Any], uid: str) -> None:
    assert records.owner_uid({"metadata": metadata}) == uid
