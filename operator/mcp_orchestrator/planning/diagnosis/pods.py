"""What a pod's status says about why it does not work. Used for servers and for runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_orchestrator.planning.diagnosis import masking

IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
REFERENCE_REASONS = frozenset({"CreateContainerConfigError"})
OUT_OF_MEMORY = "OOMKilled"
START_REASONS = frozenset({"CreateContainerError", "RunContainerError", "StartError", "CrashLoopBackOff"})


_CLASSES = {
    "image": "ImagePull",
    "reference": "MissingReference",
    "start": "StartFailed",
    "unschedulable": "Unschedulable",
    "oom": "OutOfMemory",
    "evicted": "Evicted",
    "removed": "Disrupted",
}


@dataclass(frozen=True, slots=True)
class PodTrouble:
    """Why a pod does not run."""

    kind: str
    """image, reference, start, unschedulable, oom, evicted, removed, failed or exited."""
    message: str
    """A sentence for people."""

    @property
    def class_(self) -> str:
        """The kind as a word for programs; empty for an end that says nothing of its cause."""
        return _CLASSES.get(self.kind, "")


def trouble(pod: Mapping[str, Any], answering: str = "") -> PodTrouble | None:
    """What keeps the pod (a JSON object) from running, or ended it; None if nothing is known to be wrong.

    What once ended a container named `answering` is past if it runs: it was heard, and tells more.
    """
    status = pod.get("status", {})
    name = pod.get("metadata", {}).get("name", "")
    if status.get("reason") == "Evicted":
        return PodTrouble("evicted", f"pod {name} was evicted: {status.get('message', '')}".strip())
    if status.get("phase") == "Failed" and (found := _taken_away(name, pod)):
        return found
    for container in containers(pod):
        if answering and container.get("name") == answering and "running" in container.get("state", {}):
            continue
        found = _container_trouble(name, container)
        if found:
            return found
    return _unschedulable(name, status)


def first_trouble(pods: Iterable[Mapping[str, Any]], answering: str = "") -> PodTrouble | None:
    """The first trouble among `pods`, the newest pod first. See `trouble`."""
    return next((found for pod in newest_first(pods) if (found := trouble(pod, answering))), None)


def newest_first(pods: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The pods by their age."""
    return sorted(pods, key=lambda pod: str(pod.get("metadata", {}).get("creationTimestamp", "")), reverse=True)


def containers(pod: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The statuses of a pod's containers, those that prepare it first."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def holding(body: Mapping[str, Any], type_: str) -> Mapping[str, Any] | None:
    """The condition of that type of a pod or a Job, if it holds."""
    found = body.get("status", {}).get("conditions", ())
    return next((one for one in found if one.get("type") == type_ and one.get("status") == "True"), None)


def _container_trouble(pod: str, container: Mapping[str, Any]) -> PodTrouble | None:
    state = container.get("state", {})
    name = container.get("name", "")
    waiting = state.get("waiting", {})
    reason = waiting.get("reason", "")
    words = waiting.get("message") or reason
    if reason in IMAGE_REASONS:
        return PodTrouble("image", f"image {container.get('image')} of pod {pod} can't be pulled: {words}")
    if reason in REFERENCE_REASONS:
        return PodTrouble("reference", f"container {name} of pod {pod} can't be configured: {words}")
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    if ended.get("reason") == OUT_OF_MEMORY:
        return PodTrouble("oom", f"container {name} of pod {pod} ran out of memory ({OUT_OF_MEMORY})")
    if reason in START_REASONS:
        return PodTrouble("start", f"container {name} of pod {pod} does not start: {_ended(ended) or words}")
    if ended and ended.get("exitCode") != 0:
        return PodTrouble("exited", f"container {name} of pod {pod} ended: {_ended(ended)}")
    return None


def _ended(terminated: Mapping[str, Any]) -> str:
    if not terminated:
        return ""
    words = masking.masked((terminated.get("message") or "").strip())
    text = f"{terminated.get('reason', 'Error')}, exit code {terminated.get('exitCode')}"
    return f"{text}: {words}" if words else text


def _taken_away(name: str, pod: Mapping[str, Any]) -> PodTrouble | None:
    """Whether it was the cluster that ended the pod, not its containers."""
    if condition := holding(pod, "DisruptionTarget"):
        words = f"{condition.get('reason', '')}): {condition.get('message', '')}"
        return PodTrouble("removed", f"pod {name} was taken from its node ({words}")
    status = pod.get("status", {})
    if status.get("reason"):
        return PodTrouble("failed", f"pod {name} failed ({status['reason']}): {status.get('message', '')}")
    return None


def _unschedulable(name: str, status: Mapping[str, Any]) -> PodTrouble | None:
    for condition in status.get("conditions", ()):
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return PodTrouble("unschedulable", f"pod {name} finds no node: {condition.get('message', '')}")
    return None
