"""The kinds that we read and write, as the API server's addresses know them; `client` and its callers use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GROUP = "mcp-orchestrator.io"

Object = dict[str, Any]
"""An object of the API as JSON."""


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects: enough to make its URLs."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apiVersion` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL's path. Without a namespace: all namespaces; without a name: the collection."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        if self.namespaced and namespace:
            root = f"{root}/namespaces/{namespace}"
        return "/".join(part for part in (root, self.plural, name, subresource) if part)


MCP_SERVERS = Resource(GROUP, "v1alpha1", "mcpservers", "MCPServer")
WORKFLOW_TEMPLATES = Resource(GROUP, "v1alpha1", "workflowtemplates", "WorkflowTemplate")
WORKFLOW_RUNS = Resource(GROUP, "v1alpha1", "workflowruns", "WorkflowRun")
CACHED_ANSWERS = Resource(GROUP, "v1alpha1", "cachedanswers", "CachedAnswer")
RUN_RECEIPTS = Resource(GROUP, "v1alpha1", "runreceipts", "RunReceipt")

JOBS = Resource("batch", "v1", "jobs", "Job")
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment")
SERVICES = Resource("", "v1", "services", "Service")
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap")
SECRETS = Resource("", "v1", "secrets", "Secret")
PODS = Resource("", "v1", "pods", "Pod")
SERVICE_ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount")
ROLE_BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")
EVENTS = Resource("events.k8s.io", "v1", "events", "Event")
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", namespaced=False)
