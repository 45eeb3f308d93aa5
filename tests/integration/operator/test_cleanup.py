"""What becomes of runs that have ended, and what is left of those that were deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcp_orchestrator.cluster import resources
from tests import cluster
from tests.integration.operator.conftest import NOWHERE, World, is_seen, undeletable
from tests.objects import a_run, a_server, a_template, condition
from tests.oracles import kstatus
from tests.waiting import eventually

RUNS = resources.WORKFLOW_RUNS
GIT = {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}}


async def ready(world: World, **template: Any) -> None:
    """A server that answers and a template that uses it."""
    await world.apply(a_server(), a_template(**({"pod": NOWHERE} | template)))
    await world.until_condition(resources.WORKFLOW_TEMPLATES, "clock", "Ready", "True")


async def ended(world: World, name: str, metadata: dict[str, Any] | None = None, **spec: Any) -> Any:
    """A run that succeeded."""
    run = a_run(name, templateRef={"name": "clock"}, **spec)
    run["metadata"] |= metadata or {}
    await world.apply(run)
    await world.until_phase(name, "Running")
    await world.succeed(name)
    return await world.until_phase(name, "Succeeded")


async def a_pack(world: World, run: Any) -> str:
    """A ConfigMap with a large result of the run, as its runner makes it; its name."""
    name = f"{run['status']['jobName']}-results-0"
    owner = {"apiVersion": run["apiVersion"], "kind": run["kind"], "name": run["metadata"]["name"]}
    metadata = {
        "name": name,
        "namespace": world.namespace,
        "ownerReferences": [owner | {"uid": run["metadata"]["uid"]}],
    }
    await world.client.create(resources.CONFIG_MAPS, {"metadata": metadata, "immutable": True})
    tasks = [{"name": "now", "phase": "Succeeded", "resultRef": f"{name}/sha256-1"}]
    await world.play_runner(run["metadata"]["name"], tasks=tasks)
    return name


async def test_a_run_goes_when_its_time_is_over_and_takes_its_job_along(running: World) -> None:
    await ready(running, ttlSecondsAfterFinished=3600)
    short = await ended(running, "short", ttlSecondsAfterFinished=60)
    await ended(running, "long")
    await running.pass_time("clock", seconds=61)
    await running.until_gone(RUNS, "short")
    await running.until_gone(resources.JOBS, short["status"]["jobName"])
    assert await running.get(RUNS, "long")
    await running.pass_time("clock", hours=1)
    await running.until_gone(RUNS, "long")


async def test_the_oldest_runs_go_when_there_are_more_than_the_history_keeps(running: World) -> None:
    await ready(running, history={"succeeded": 1})
    for name in ("first", "second", "third"):
        await ended(running, name)
    await running.until_gone(RUNS, "first", "second")
    assert await running.get(RUNS, "third")


async def test_a_run_that_git_owns_stays_and_loses_its_children_once(running: World) -> None:
    await ready(running)
    run = await ended(running, "migrate", GIT, ttlSecondsAfterFinished=60)
    pack = await a_pack(running, run)
    await running.pass_time("clock", seconds=61)
    pruned = await running.until_condition(RUNS, "migrate", "ChildrenPruned", "True", "TTLExpired")
    assert "Flux owns the run" in condition(pruned, "ChildrenPruned")["message"]
    await running.until_gone(resources.JOBS, run["status"]["jobName"])
    await running.until_gone(resources.CONFIG_MAPS, pack)
    assert pruned["status"]["phase"] == "Succeeded"
    assert pruned["status"]["template"] == run["status"]["template"]
    assert kstatus.verdict(pruned) == "Current"

    await running.pass_time("clock", days=1)
    await ended(running, "later", ttlSecondsAfterFinished=60)
    await running.pass_time("clock", days=1)
    await running.until_gone(RUNS, "later")
    assert (await running.get(RUNS, "migrate"))["metadata"]["resourceVersion"] == pruned["metadata"]["resourceVersion"]


async def test_results_that_another_run_took_over_stay(running: World) -> None:
    await ready(running)
    await ended(running, "first", ttlSecondsAfterFinished=60)
    await ended(running, "second", resumeFrom="first")
    await ended(running, "third", ttlSecondsAfterFinished=60)
    await running.pass_time("clock", seconds=61)
    await running.until_gone(RUNS, "third")
    assert await running.get(RUNS, "first")
    await running.client.delete(RUNS, "second", running.namespace)
    await running.until_gone(RUNS, "second")
    await running.pass_time("clock", seconds=1)
    await running.until_gone(RUNS, "first")


async def test_a_run_may_get_another_time_to_live_after_its_end(running: World) -> None:
    await ready(running)
    await ended(running, "run")
    await running.apply(a_run("run", templateRef={"name": "clock"}, ttlSecondsAfterFinished=60))
    edited = await running.until(RUNS, "run", "seen", lambda run: is_seen(run) and run["metadata"]["generation"] == 2)
    assert kstatus.verdict(edited) == "Current"
    assert condition(edited, "Finished")["observedGeneration"] == 2
    await running.pass_time("clock", seconds=61)
    await running.until_gone(RUNS, "run")


async def test_what_was_due_while_there_was_no_operator_goes_when_it_is_back(world: World) -> None:
    async with world.operator():
        await ready(world)
        await ended(world, "run", ttlSecondsAfterFinished=60)
    await world.pass_time(seconds=61)
    async with world.operator():
        await world.until_gone(RUNS, "run")


async def test_a_run_that_may_not_be_deleted_holds_no_other_up(running: World) -> None:
    await ready(running)
    async with undeletable(running.client, RUNS, a_run("probe", namespace=running.namespace)):
        await ended(running, "kept", {"labels": {"keep": ""}}, ttlSecondsAfterFinished=60)
        await ended(running, "other", ttlSecondsAfterFinished=60)
        await running.pass_time("clock", seconds=61)
        await running.until_gone(RUNS, "other")
        assert await running.get(RUNS, "kept")


async def test_nothing_is_left_of_runs_that_were_deleted_in_any_state(world: World, kubeconfig: Path) -> None:
    async with world.operator(max_concurrent_workflows=2):
        await ready(world)
        before = await everything_made_by_others(kubeconfig, world.namespace)
        await ended(world, "succeeded")
        await a_pack(world, await ended(world, "with-results"))
        await world.apply(a_run("failed", templateRef={"name": "clock"}, parameters={"no": "such"}))
        await world.until_phase("failed", "Failed")
        for name in ("starting", "running"):
            await world.apply(a_run(name))
            await world.until_phase(name, "Running")
        await world.play_runner("running")
        clock = {"templateRef": {"name": "clock"}}
        await world.apply(
            a_run("queued"),
            a_run("pending", templateRef={"name": "missing"}),
            a_run("suspended", **clock, suspend=True),
            a_run("cancelled", **clock, cancel="Graceful"),
        )
        for name in ("queued", "pending", "suspended", "cancelled"):
            await world.until_phase(name, name.capitalize())
        for key in (await world.client.list_all(RUNS, world.namespace, convert=dict)).items:
            await world.client.delete(RUNS, key["metadata"]["name"], world.namespace)

        async def left() -> bool:
            return everything(kubeconfig, world.namespace) - before <= {
                "serviceaccount/mcp-orchestrator-runner",
                "rolebinding.rbac.authorization.k8s.io/mcp-orchestrator-runner",
            }

        await eventually("all is gone", left)


async def everything_made_by_others(kubeconfig: Path, namespace: str) -> set[str]:
    """All objects of the namespace, once the cluster has made its own of them for a namespace and for a Service."""
    found: set[str] = set()

    async def made() -> bool:
        nonlocal found
        found = everything(kubeconfig, namespace)
        expected = ("configmap/kube-root-ca.crt", "endpoints/time", "endpointslice.discovery.k8s.io/time-")
        return all(any(name.startswith(start) for name in found) for start in expected)

    await eventually("what the cluster makes", made)
    return found


def everything(kubeconfig: Path, namespace: str) -> set[str]:
    """All objects of a namespace, of every kind that the API server has, but for Events."""
    listed = cluster.kubectl(kubeconfig, "api-resources", "--namespaced", "--verbs=list", "-o", "name").split()
    kinds = ",".join(name for name in listed if not name.startswith("events"))
    return set(cluster.kubectl(kubeconfig, "-n", namespace, "get", kinds, "-o", "name").split())
