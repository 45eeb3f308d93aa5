"""Objects that every embedded cluster has from the start: storage, DNS, and nodes that are fakes. Used by embedded."""

from pathlib import Path

from . import network
from .api import Object

VOLUMES = 16
FAKE_NODES = 3
LABELS = {"app.kubernetes.io/managed-by": "hack-cluster"}


def storage(volumes: Path) -> list[Object]:
    """The default StorageClass `standard`, and volumes for claims to find: there is no provisioner."""
    storage_class = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "standard",
            "labels": LABELS,
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }
    return [storage_class, *(_volume(path) for path in volume_directories(volumes))]


def volume_directories(volumes: Path) -> list[Path]:
    """The directories behind the volumes."""
    return [volumes / f"volume-{number:02}" for number in range(VOLUMES)]


def _volume(path: Path) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": path.name, "labels": LABELS},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "hostPath": {"path": str(path), "type": "Directory"},
        },
    }


def dns(port: int) -> list[Object]:
    """The Service `kube-dns` in front of the CoreDNS that runs on the host, and CoreDNS's rights."""
    meta = {"name": "kube-dns", "namespace": "kube-system", "labels": {**LABELS, "k8s-app": "kube-dns"}}
    ports = [("dns", "UDP"), ("dns-tcp", "TCP")]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "clusterIP": network.DNS_ADDRESS,
            "ports": [{"name": name, "protocol": kind, "port": 53, "targetPort": port} for name, kind in ports],
        },
    }
    endpoints = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**meta, "labels": {**LABELS, "kubernetes.io/service-name": "kube-dns"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [network.NODE_ADDRESS], "conditions": {"ready": True}}],
        "ports": [{"name": name, "protocol": kind, "port": port} for name, kind in ports],
    }
    rules = [
        {"apiGroups": [""], "resources": ["services", "namespaces", "pods", "nodes"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "system:coredns", "labels": LABELS},
        "rules": rules,
    }
    return [role, _binding("system:coredns", "system:coredns"), service, endpoints]


def proxy() -> list[Object]:
    """The rights of kube-proxy."""
    return [_binding("system:kube-proxy", "system:node-proxier")]


def _binding(user: str, role: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"hack-cluster:{user}", "labels": LABELS},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def fake_nodes() -> list[Object]:
    """Nodes that kwok keeps ready, with room for whatever a test brings."""
    return [_fake_node(f"fake-{number}") for number in range(FAKE_NODES)]


def _fake_node(name: str) -> Object:
    room = {"cpu": "1000", "memory": "4Ti", "ephemeral-storage": "4Ti", "pods": "100000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                **LABELS,
                "type": "kwok",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
            },
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "status": {"capacity": room, "allocatable": room},
    }
