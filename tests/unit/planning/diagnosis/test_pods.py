"""What a pod's status says, in words for people."""

from __future__ import annotations

from typing import Any

import pytest

from mcp_orchestrator.planning.diagnosis import pods


def a_pod(name: str = "time-1", created: str = "2026-01-02T03:04:05Z", **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": status}


def with_container(init: bool = False, **fields: Any) -> dict[str, Any]:
    container = {"name": "server", "image": "theirs:1", **fields}
    return a_pod(initContainerStatuses=[container]) if init else a_pod(containerStatuses=[container])


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"state": {"waiting": {"reason": reason} | ({"message": message} if message else {})}}


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason} | ({"message": message} if message else {})}


def unscheduled(message: str) -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return a_pod(phase="Pending", conditions=[condition])


@pytest.mark.parametrize(
    ("pod", "kind", "message"),
    [
        pytest.param(
            with_container(**waiting("ErrImagePull", "not found")),
            "image",
            "image theirs:1 of pod time-1 can't be pulled: not found",
            id="image can't be pulled",
        ),
        pytest.param(
            with_container(**waiting("InvalidImageName")),
            "image",
            "image theirs:1 of pod time-1 can't be pulled: InvalidImageName",
            id="no image name",
        ),
        pytest.param(
            with_container(init=True, **waiting("ImagePullBackOff", "Back-off")),
            "image",
            "image theirs:1 of pod time-1 can't be pulled: Back-off",
            id="image of an init container",
        ),
        pytest.param(
            with_container(**waiting("CreateContainerConfigError", 'secret "keys" not found')),
            "reference",
            'container server of pod time-1 can\'t be configured: secret "keys" not found',
            id="missing secret",
        ),
        pytest.param(
            with_container(**waiting("CrashLoopBackOff", "back-off 10s"), lastState=ended(1, message="no such file")),
            "start",
            "container server of pod time-1 does not start: Error, exit code 1: no such file",
            id="crash loop",
        ),
        pytest.param(
            with_container(**waiting("RunContainerError", "exec: serve: not found")),
            "start",
            "container server of pod time-1 does not start: exec: serve: not found",
            id="no such program",
        ),
        pytest.param(
            with_container(state=ended(137, "OOMKilled")),
            "oom",
            "container server of pod time-1 ran out of memory (OOMKilled)",
            id="out of memory",
        ),
        pytest.param(
            with_container(**waiting("CrashLoopBackOff"), lastState=ended(137, "OOMKilled")),
            "oom",
            "container server of pod time-1 ran out of memory (OOMKilled)",
            id="out of memory again and again",
        ),
        pytest.param(
            with_container(state=ended(3, message=" the last words\n")),
            "exited",
            "container server of pod time-1 ended: Error, exit code 3: the last words",
            id="ended",
        ),
        pytest.param(
            a_pod(reason="Evicted", phase="Failed", message="The node was low on resource: memory."),
            "evicted",
            "pod time-1 was evicted: The node was low on resource: memory.",
            id="evicted",
        ),
        pytest.param(
            a_pod(reason="OutOfcpu", phase="Failed", message="Node didn't have enough resource: cpu"),
            "failed",
            "pod time-1 failed (OutOfcpu): Node didn't have enough resource: cpu",
            id="refused by the node",
        ),
        pytest.param(
            a_pod(
                phase="Failed",
                conditions=[
                    {
                        "type": "DisruptionTarget",
                        "status": "True",
                        "reason": "EvictionByEvictionAPI",
                        "message": "Eviction API: evicting",
                    }
                ],
                containerStatuses=[{"name": "runner", "state": ended(143)}],
            ),
            "removed",
            "pod time-1 was taken from its node (EvictionByEvictionAPI): Eviction API: evicting",
            id="drained",
        ),
        pytest.param(
            unscheduled("0/3 nodes are available"),
            "unschedulable",
            "pod time-1 finds no node: 0/3 nodes are available",
            id="no node",
        ),
    ],
)
def test_a_pod_that_does_not_run_tells_why(pod: dict[str, Any], kind: str, message: str) -> None:
    found = pods.trouble(pod)

    assert found
    assert (found.kind, found.message) == (kind, message)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param({}, id="nothing known"),
        pytest.param(a_pod(), id="new"),
        pytest.param(with_container(state={"running": {}}), id="running"),
        pytest.param(with_container(**waiting("ContainerCreating")), id="being created"),
        pytest.param(with_container(**waiting("PodInitializing")), id="initializing"),
        pytest.param(with_container(state=ended(0, "Completed")), id="ended well"),
        pytest.param(
            a_pod(conditions=[{"type": "PodScheduled", "status": "True"}, {"type": "DisruptionTarget"}]),
            id="scheduled",
        ),
    ],
)
def test_a_pod_that_is_well_or_on_its_way_has_no_trouble(pod: dict[str, Any]) -> None:
    assert pods.trouble(pod) is None


def test_the_newest_pod_is_heard_first() -> None:
    old = a_pod("old", "2026-01-02T03:00:00Z", reason="Evicted")
    new = a_pod("new", "2026-01-02T04:00:00Z", reason="Evicted")

    found = pods.first_trouble([old, new])

    assert found
    assert found.message.startswith("pod new was evicted")


def test_an_older_pod_is_heard_if_the_newest_has_nothing_to_say() -> None:
    old = a_pod("old", "2026-01-02T03:00:00Z", reason="Evicted")
    new = a_pod("new", "2026-01-02T04:00:00Z")

    found = pods.first_trouble([new, old])

    assert found
    assert found.message.startswith("pod old was evicted")


def test_no_pods_have_no_trouble() -> None:
    assert pods.first_trouble([]) is None
