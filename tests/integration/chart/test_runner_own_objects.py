"""A runner makes ConfigMaps and a Secret that carry the name of its own Job, and changes none."""

from __future__ import annotations

from typing import Any

import pytest
from tests.integration.chart.place import JOB, UID, Place, an_object, grant, in_pod, refusal, rule, runner, until

from mcp_orchestrator.api.base import API_VERSION
from mcp_orchestrator.runner.results.answers import Answer
from mcp_orchestrator.runner.results.packs import Owner, Packs

OWNER = Owner("", "one", UID, JOB)
RUN = {"apiVersion": API_VERSION, "kind": "WorkflowRun", "name": "one", "uid": UID}
FOREIGN = "may create objects in its own namespace, and change none"
NAMED = "carry the name of its own Job"
OWNED = "belong to a WorkflowRun"
FIXED = "are immutable, and its Secrets of type Opaque"


def a_pack(number: str = "0", **changes: Any) -> dict[str, Any]:
    """A ConfigMap of results, as a runner makes it but for the changes."""
    packs = Packs(OWNER)
    packs.add(Answer.of("x"))
    (body,) = packs.unwritten()
    return changed("ConfigMap", body, {"name": f"{JOB}-results-{number}"} | changes)


def outputs(**changes: Any) -> dict[str, Any]:
    """A Secret of outputs, as a runner makes it but for the changes."""
    return changed("Secret", OWNER.outputs_secret({"o": 1}), changes)


def changed(kind: str, body: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """The body with changes, those of its metadata too; what is None is left out."""
    metadata = body["metadata"] | {key: value for key, value in changes.items() if key in body["metadata"]}
    others = {key: value for key, value in changes.items() if key not in metadata}
    fields = {key: value for key, value in (body | others).items() if value is not None}
    return {"apiVersion": "v1", "kind": kind, **fields, "metadata": metadata}


@pytest.fixture(scope="module", autouse=True)
def rights(run: Place) -> None:
    """More rights than runners have, also for those of another namespace: what refuses is the policy then."""
    for namespace, role in ((run.namespace, "own"), ("elsewhere", "foreign")):
        granted = (rule(kind, "get", "create", "patch") for kind in ("secrets", "configmaps"))
        grant(run, runner(namespace), role, *granted)
    until(lambda: FOREIGN in refusal(run, a_pack(), runner("elsewhere"), *in_pod()))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(a_pack(), id="the-first-pack"),
        pytest.param(a_pack("12"), id="a-later-pack"),
        pytest.param(outputs(), id="the-outputs"),
    ],
)
def test_a_runner_makes_what_carries_the_name_of_its_own_job(run: Place, body: dict[str, Any]) -> None:
    assert refusal(run, body, runner(run.namespace), *in_pod()) == ""


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(a_pack(name="two-0123456789-results-0"), NAMED, id="a-pack-of-another-job"),
        pytest.param(a_pack(name=f"{JOB}0-results-0"), NAMED, id="a-pack-of-a-job-with-a-longer-name"),
        pytest.param(a_pack("0-0123456789-results-0"), NAMED, id="a-pack-of-a-job-named-like-a-pack"),
        pytest.param(a_pack("x"), NAMED, id="a-pack-without-number"),
        pytest.param(a_pack(name=f"{JOB}-outputs"), NAMED, id="a-configmap-named-like-the-outputs"),
        pytest.param(a_pack(name="settings"), NAMED, id="a-configmap-of-any-name"),
        pytest.param(outputs(name="two-0123456789-outputs"), NAMED, id="outputs-of-another-job"),
        pytest.param(outputs(name=f"{JOB}-results-0"), NAMED, id="a-secret-named-like-a-pack"),
        pytest.param(outputs(name="password"), NAMED, id="a-secret-of-any-name"),
        pytest.param(a_pack(ownerReferences=[]), OWNED, id="a-pack-without-owner"),
        pytest.param(outputs(ownerReferences=[]), OWNED, id="outputs-without-owner"),
        pytest.param(a_pack(ownerReferences=[RUN, RUN | {"uid": "other"}]), OWNED, id="a-pack-with-two-owners"),
        pytest.param(a_pack(ownerReferences=[RUN | {"kind": "MCPServer"}]), OWNED, id="a-pack-of-another-kind"),
        pytest.param(
            a_pack(ownerReferences=[RUN | {"apiVersion": "mcp-orchestrator.io.example/v1"}]), OWNED,
            id="a-pack-of-another-group",
        ),
        pytest.param(a_pack(immutable=None), FIXED, id="a-pack-that-says-nothing-of-changes"),
        pytest.param(a_pack(immutable=False), FIXED, id="a-pack-that-can-be-changed"),
        pytest.param(outputs(immutable=None), FIXED, id="outputs-that-can-be-changed"),
        pytest.param(outputs(type="example.com/token"), FIXED, id="outputs-of-another-type"),
    ],
)  # fmt: skip
def test_a_runner_makes_nothing_else(run: Place, body: dict[str, Any], words: str) -> None:
    assert words in refusal(run, body, runner(run.namespace), *in_pod())


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param((), id="of-no-pod"),
        pytest.param(in_pod("two-0123456789-abcde"), id="of-another-job"),
        pytest.param(in_pod(f"{JOB}-0123456789-abcde"), id="of-a-job-with-a-longer-name"),
        pytest.param(in_pod("abcde"), id="with-a-name-too-short-for-a-job"),
        pytest.param(in_pod("-abcde"), id="with-a-job-without-name"),
    ],
)
@pytest.mark.parametrize("body", [pytest.param(a_pack(), id="a-pack"), pytest.param(outputs(), id="outputs")])
def test_the_token_of_another_pod_makes_nothing(run: Place, body: dict[str, Any], pod: tuple[str, ...]) -> None:
    assert NAMED in refusal(run, body, runner(run.namespace), *pod)


@pytest.mark.parametrize("body", [pytest.param(a_pack(), id="a-pack"), pytest.param(outputs(), id="outputs")])
def test_a_runner_of_another_namespace_makes_nothing_here(run: Place, body: dict[str, Any]) -> None:
    assert FOREIGN in refusal(run, body, runner("elsewhere"), *in_pod())


@pytest.mark.parametrize("body", [pytest.param(a_pack("7"), id="a-pack"), pytest.param(outputs(), id="outputs")])
def test_a_runner_changes_nothing_that_is_there(run: Place, body: dict[str, Any]) -> None:
    """The object has its real owner: the garbage collector would remove it otherwise."""
    uid = run.kubectl("get", "workflowrun", "one", "-o", "jsonpath={.metadata.uid}")
    run.make(body | {"metadata": body["metadata"] | {"ownerReferences": [RUN | {"uid": uid}]}})
    kind, name = body["kind"].lower(), body["metadata"]["name"]
    labels = '{"metadata": {"labels": {"a": "b"}}}'
    patch = ("patch", kind, name, "--type=merge", "-p", labels)
    assert FOREIGN in run.kubectl(*patch, f"--as={runner(run.namespace)}", *in_pod())
    assert "patched" in run.kubectl(*patch)


def test_who_is_no_runner_is_not_bound(run: Place) -> None:
    """Neither a service account of a similar name."""
    for user in ("frank", f"{runner(run.namespace)}-2"):
        grant(run, user, user.rpartition(":")[2] + "-writes", rule("configmaps", "create"))
        body = an_object("ConfigMap", "settings", "v1")
        until(lambda user=user, body=body: refusal(run, body, user) == "")
