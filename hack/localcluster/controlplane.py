"""Command lines and files of etcd and of Kubernetes' control plane. Used by embedded."""

import json
from pathlib import Path

from . import network
from .state import Place, Record

# What benchmarks tell from: the states of runs, as they were written.
STATES = {"group": "mcp-orchestrator.io", "resources": ["workflowruns/status"]}


def audit_policy(*, states: bool) -> dict[str, object]:
    """Every request, by whom and how long it took; with `states`, also what was written into the status of runs."""
    bodies = [{"level": "Request", "verbs": ["patch"], "resources": [STATES]}] if states else []
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [*bodies, {"level": "Metadata"}],
    }


def etcd(place: Place, record: Record) -> list[str]:
    """etcd, on loopback only and without TLS: its data is gone with the cluster."""
    client = f"http://127.0.0.1:{record.ports['etcd']}"
    peer = f"http://127.0.0.1:{record.ports['etcd-peer']}"
    return [
        "--name=default",
        f"--data-dir={place.directory / 'etcd'}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--unsafe-no-fsync",
        "--quota-backend-bytes=8589934592",
        "--auto-compaction-mode=periodic",
        "--auto-compaction-retention=10m",
    ]


def apiserver(place: Place, record: Record) -> list[str]:
    """kube-apiserver. A cluster with fake nodes is for this machine only; pods of a real one come by the bridge."""
    pki = place.directory / "pki"
    policy = place.directory / "audit-policy.json"
    policy.write_text(json.dumps(audit_policy(states=record.audit_states)))
    if record.nodes == "real":
        reach = ["--bind-address=0.0.0.0", f"--advertise-address={network.NODE_ADDRESS}"]
    else:
        reach = ["--bind-address=127.0.0.1", "--endpoint-reconciler-type=none"]
    return [
        *reach,
        f"--secure-port={record.ports['kube-apiserver']}",
        f"--etcd-servers=http://127.0.0.1:{record.ports['etcd']}",
        f"--service-cluster-ip-range={network.SERVICE_CIDR}",
        "--allow-privileged=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'kube-apiserver.crt'}",
        f"--tls-private-key-file={pki / 'kube-apiserver.key'}",
        f"--kubelet-client-certificate={pki / 'kube-apiserver-kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kube-apiserver-kubelet-client.key'}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={pki / 'sa.pub'}",
        f"--service-account-signing-key-file={pki / 'sa.key'}",
        f"--audit-policy-file={policy}",
        f"--audit-log-path={place.audit_log}",
        "--audit-log-maxsize=512",
        "--audit-log-maxbackup=4",
        "--shutdown-delay-duration=0s",
    ]


def controller_manager(place: Place, record: Record) -> list[str]:
    """kube-controller-manager, with room for thousands of Jobs at once."""
    pki = place.directory / "pki"
    return [
        *_identity(place, "kube-controller-manager"),
        "--bind-address=127.0.0.1",
        f"--secure-port={record.ports['kube-controller-manager']}",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'sa.key'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        # It would make the directory, which is the system's by default.
        f"--flex-volume-plugin-dir={place.directory / 'volume-plugins'}",
    ]


def scheduler(place: Place, record: Record) -> list[str]:
    """kube-scheduler, with room for thousands of pods at once."""
    config = place.directory / "kube-scheduler.json"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "kubescheduler.config.k8s.io/v1",
                "kind": "KubeSchedulerConfiguration",
                "clientConnection": {"kubeconfig": str(credentials(place, "kube-scheduler")), "qps": 200, "burst": 400},
                "leaderElection": {"leaderElect": False},
            }
        )
    )
    client = f"--authentication-kubeconfig={credentials(place, 'kube-scheduler')}"
    return [
        f"--config={config}",
        client,
        client.replace("authentication", "authorization"),
        "--bind-address=127.0.0.1",
        f"--secure-port={record.ports['kube-scheduler']}",
    ]


def kwok(place: Place, record: Record) -> list[str]:
    """kwok, which plays kubelet for the nodes that are marked as fakes."""
    return [
        f"--kubeconfig={credentials(place, 'kwok')}",
        f"--config={Path(__file__).with_name('kwok-stages.yaml')}",
        "--manage-all-nodes=false",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        "--node-lease-duration-seconds=40",
        f"--server-address=127.0.0.1:{record.ports['kwok']}",
    ]


def credentials(place: Place, client: str) -> Path:
    """The kubeconfig of a component."""
    return place.directory / "pki" / f"{client}.kubeconfig"


def _identity(place: Place, client: str) -> list[str]:
    path = credentials(place, client)
    return [f"--{use}={path}" for use in ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")]
