"""The chart's RBAC: what each account may do, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from tests.chart import helm

CLUSTER: dict[str, Any] = helm.NO_CRDS
NAMESPACED = helm.NO_CRDS | {"rbac": {"scope": "namespaced"}, "watchNamespaces": ["alpha", "beta"]}
CHOSEN = helm.NO_CRDS | {"watchNamespaces": ["alpha", "beta"]}
EVERY_SCOPE = pytest.mark.parametrize(
    "values",
    [
        pytest.param(CLUSTER, id="all-namespaces"),
        pytest.param(CHOSEN, id="chosen-namespaces"),
        pytest.param(NAMESPACED, id="namespaced"),
    ],
)


def kinds(values: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of everything that RBAC reads."""
    return {
        (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"])
        for one in helm.objects(values)
        if one["apiVersion"].startswith("rbac.authorization.k8s.io/")
    }


def rules(values: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rules of all roles."""
    for one in helm.objects(values):
        if one["kind"] in ("Role", "ClusterRole"):
            yield from one["rules"]


def rights(role: Mapping[str, Any]) -> set[str]:
    """A role's rules as words: group/resource[name]:verb."""
    return {
        f"{group}/{resource}{'[' + ','.join(rule['resourceNames']) + ']' if 'resourceNames' in rule else ''}:{verb}"
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@EVERY_SCOPE
def test_no_rule_has_a_wildcard(values: Mapping[str, Any]) -> None:
    for rule in rules(values):
        assert "*" not in str(rule), rule


@EVERY_SCOPE
def test_no_rule_gives_a_right_that_leads_to_more_rights(values: Mapping[str, Any]) -> None:
    for rule in rules(values):
        assert not {"escalate", "impersonate"} & set(rule["verbs"]), rule
        assert not {"serviceaccounts/token", "pods/exec", "nodes"} & set(rule["resources"]), rule
        if "bind" in rule["verbs"]:
            assert (rule["resources"], rule["resourceNames"]) == (["clusterroles"], ["mcp-orchestrator-runner"])
        if "secrets" in rule["resources"]:
            assert rule["verbs"] == ["create"], "a Secret may be made for sensitive outputs, and none may be read"


def test_namespaced_scope_has_no_cluster_roles() -> None:
    assert "ClusterRole" not in helm.render(NAMESPACED)


def test_namespaced_scope_serves_its_own_namespace_when_none_are_given() -> None:
    values = helm.NO_CRDS | {"rbac": {"scope": "namespaced"}}
    assert helm.environment(values)["MCP_ORCHESTRATOR_WATCH_NAMESPACES"] == helm.NAMESPACE
    assert ("RoleBinding", helm.NAMESPACE, helm.NAME) in kinds(values)


def test_namespaced_scope_makes_the_runners_account_since_the_operator_may_not() -> None:
    for namespace in ("alpha", "beta"):
        assert {(kind, namespace, "mcp-orchestrator-runner") for kind in ("Role", "RoleBinding")} <= kinds(NAMESPACED)
    assert helm.environment(NAMESPACED)["MCP_ORCHESTRATOR_RUNNER_ACCOUNTS"] == "existing"
    (operator, _) = (
        one for one in helm.objects(NAMESPACED) if (one["kind"], one["metadata"]["name"]) == ("Role", helm.NAME)
    )
    assert not any("serviceaccounts" in right or "rolebindings" in right for right in rights(operator))


def test_chosen_namespaces_bind_the_operator_there_only() -> None:
    found = kinds(CHOSEN)
    assert not any(kind == "ClusterRoleBinding" for kind, _, _ in found)
    assert {("RoleBinding", "alpha", helm.NAME), ("RoleBinding", "beta", helm.NAME)} <= found


def test_the_operator_may_do_what_it_does() -> None:
    own, look = "mcp-orchestrator.io", ("get", "list", "watch")
    ours = ("mcpservers", "workflowtemplates", "workflowruns")
    children = ("batch/jobs", "apps/deployments", "/services")
    made_for_runners = ("/serviceaccounts", "rbac.authorization.k8s.io/rolebindings")
    expected = {
        *(f"{own}/{kind}:{verb}" for kind in ours for verb in ("list", "watch")),
        f"{own}/workflowruns:get",
        *(f"{own}/{kind}/status:patch" for kind in ours),
        *(f"{own}/{kind}/finalizers:update" for kind in ours),
        f"{own}/workflowruns:create",
        *(f"{own}/cachedanswers:{verb}" for verb in ("list", "delete")),
        *(f"{own}/runreceipts:{verb}" for verb in ("get", "list", "create", "update", "delete")),
        *(f"{child}:{verb}" for child in children for verb in (*look, "create")),
        "batch/jobs:delete",
        *("apps/deployments:patch", "/services:patch", "/pods:list"),
        *("events.k8s.io/events:create", "events.k8s.io/events:list"),
        "/configmaps:get",
        *(f"{kind}:delete" for kind in (f"{own}/workflowruns", "batch/jobs", "/configmaps")),
        "rbac.authorization.k8s.io/clusterroles[mcp-orchestrator-runner]:bind",
        *(f"{kind}[mcp-orchestrator-runner]:{verb}" for kind in made_for_runners for verb in ("create", "patch")),
    }
    assert rights(helm.the("ClusterRole", helm.NAME)) == expected


def test_a_runner_reads_a_run_writes_its_status_and_caches_answers() -> None:
    assert rights(helm.the("ClusterRole", "mcp-orchestrator-runner")) == {
        "mcp-orchestrator.io/workflowruns:get",
        "mcp-orchestrator.io/workflowruns/status:patch",
        *(f"mcp-orchestrator.io/cachedanswers:{verb}" for verb in ("get", "create", "patch")),
        "/configmaps:create",
        "/secrets:create",
    }


def test_the_lease_is_in_the_operators_own_namespace() -> None:
    role = helm.the("Role", f"{helm.NAME}-lease")
    assert role["metadata"]["namespace"] == helm.NAMESPACE
    lease = "coordination.k8s.io/leases"
    assert rights(role) == {f"{lease}:create", f"{lease}[{helm.NAME}]:get", f"{lease}[{helm.NAME}]:update"}
    assert helm.environment()["MCP_ORCHESTRATOR_LEASE"] == helm.NAME


def test_people_who_edit_a_namespace_do_not_write_statuses() -> None:
    assert not any("/status" in right for right in rights(helm.the("ClusterRole", f"{helm.NAME}-edit")))


@pytest.mark.parametrize("kind", ["cachedanswers", "runreceipts"])
def test_people_see_what_is_remembered_and_throw_it_away_but_make_none_of_it(kind: str) -> None:
    ours = f"mcp-orchestrator.io/{kind}:"
    assert {f"{ours}{verb}" for verb in ("get", "list", "watch")} <= rights(
        helm.the("ClusterRole", f"{helm.NAME}-view")
    )
    found = {right for right in rights(helm.the("ClusterRole", f"{helm.NAME}-edit")) if right.startswith(ours)}
    assert found == {f"{ours}delete", f"{ours}deletecollection"}


def test_every_binding_names_a_role_that_is_there() -> None:
    for values in (CLUSTER, CHOSEN, NAMESPACED):
        found = kinds(values)
        for one in helm.objects(values):
            if one["kind"] in ("RoleBinding", "ClusterRoleBinding"):
                reference = one["roleRef"]
                namespace = one["metadata"]["namespace"] if reference["kind"] == "Role" else ""
                assert (reference["kind"], namespace, reference["name"]) in found


def test_without_rbac_there_are_no_roles() -> None:
    assert not kinds(helm.NO_CRDS | {"rbac": {"create": False}})


def shared(one: Mapping[str, Any], other: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """Kind, namespace and name of the objects that two releases both have: Helm then refuses the second."""
    first, second = (
        {(it["kind"], it["metadata"].get("namespace", ""), it["metadata"]["name"]) for it in helm.objects(values, name)}
        for name, values in (("one", one), ("other", other))
    )
    return first & second


def test_two_releases_can_not_both_have_the_scope_of_the_cluster() -> None:
    alpha, beta = (helm.NO_CRDS | {"namespaceOverride": name, "watchNamespaces": [name]} for name in ("alpha", "beta"))
    assert shared(alpha, beta) == {("ClusterRole", "", "mcp-orchestrator-runner")}


def test_releases_that_serve_different_namespaces_go_together_also_in_one() -> None:
    """With one Lease for both, the second would stand by for ever."""
    namespaced = helm.NO_CRDS | {"rbac": {"scope": "namespaced"}}
    assert not shared(namespaced | {"watchNamespaces": ["alpha"]}, namespaced | {"watchNamespaces": ["beta"]})
    leases = [
        variable["value"]
        for release in ("one", "other")
        for made in helm.objects(namespaced, release)
        if made["kind"] == "Deployment"
        for variable in made["spec"]["template"]["spec"]["containers"][0]["env"]
        if variable["name"] == "MCP_ORCHESTRATOR_LEASE"
    ]
    assert leases == ["one-mcp-orchestrator", "other-mcp-orchestrator"]
