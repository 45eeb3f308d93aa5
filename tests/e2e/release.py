"""The installed operator as its administrators see it: pods, leader, log, metrics, and the API server's audit log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.space import Space

NAME = NAMESPACE = "mcp-orchestrator"
SELECTOR = "app.kubernetes.io/name=mcp-orchestrator,app.kubernetes.io/component=operator"
USER = f"system:serviceaccount:{NAMESPACE}:{NAME}"
RUNNER = "mcp-orchestrator-runner"
PORT, GATEWAY_PORT = 8080, 15080
WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Release:
    """The operator, installed by Helm."""

    space: Space
    """Its own namespace."""

    def pods(self) -> list[dict[str, Any]]:
        """Its pods, those that are on their way out left aside."""
        found = self.space.list("pods", "-l", SELECTOR)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def leader(self) -> str:
        """Name of the pod that leads, by the Lease."""
        return str(self.space.get("lease", NAME)["spec"].get("holderIdentity") or "").partition("_")[0]

    def get(self, path: str) -> str:
        """GET a path of the leader's HTTP server."""
        return self.space.proxied(self.leader(), PORT, path)

    def log_lines(self) -> list[str]:
        """What all its pods have logged since they started."""
        names = [pod["metadata"]["name"] for pod in self.pods()]
        return [line for name in names for line in self.space.kubectl("logs", name).splitlines()]


class Samples:
    """One scrape."""

    def __init__(self, text: str) -> None:
        self.families: Mapping[str, Metric] = {family.name: family for family in text_string_to_metric_families(text)}
        self._values = {
            (sample.name, _labels(sample.labels)): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, /, **labels: str) -> float:
        """The value of a sample; 0 for one that is not there yet."""
        return self._values.get((name, _labels(labels)), 0.0)

    def labels(self, name: str) -> set[tuple[str, ...]]:
        """The sets of label names that samples of that name have."""
        return {tuple(key for key, _ in labels) for sample, labels in self._values if sample == name}


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


@dataclass(frozen=True, order=True)
class Write:
    """A request that changed something, from the audit log."""

    at: str
    verb: str
    resource: str
    name: str
    code: int
    user: str

    def __str__(self) -> str:
        return f"{self.at[11:23]}  {self.verb:<7} {self.resource:<22} {self.name:<44} {self.code}"


class Audit:
    """What the API server writes down of every request, from the moment of this object's making."""

    def __init__(self, space: Space) -> None:
        self._path = space.kubeconfig.parent / "logs" / "audit.log"
        if not self._path.exists():
            pytest.skip("this sort of cluster keeps no audit log")
        self._begin = self._path.stat().st_size

    def writes(self, *users: str) -> list[Write]:
        """The writes of these users since then, in order."""
        with self._path.open("rb") as log:
            log.seek(self._begin)
            lines = log.read().split(b"\n")[:-1]
        return sorted(_writes((json.loads(line) for line in lines), users))


def _writes(entries: Iterable[dict[str, Any]], users: tuple[str, ...]) -> Iterable[Write]:
    for entry in entries:
        user, verb, target = entry["user"]["username"], entry["verb"], entry.get("objectRef", {})
        if verb not in WRITES or not user.endswith(users):
            continue
        resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
        name = "/".join(filter(None, (target.get("namespace"), target.get("name"))))
        yield Write(entry["requestReceivedTimestamp"], verb, resource, name, entry["responseStatus"]["code"], user)


def moment(text: str) -> datetime:
    """A time of a status, or of a tool's answer."""
    return datetime.fromisoformat(text).astimezone(UTC)
