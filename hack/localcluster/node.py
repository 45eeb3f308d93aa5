"""Command lines and files of a real node: containerd, kubelet, kube-proxy and CoreDNS. Used by embedded."""

import json
from pathlib import Path

from . import controlplane, mounts, network
from .state import Place, Record

PAUSE_IMAGE = "localhost/pause:1"
RESOLV_CONF = Path("/etc/resolv.conf")


def containerd_socket(place: Place) -> Path:
    return place.directory / "containerd.sock"


def containerd(place: Place) -> list[str]:
    """containerd, with everything that it writes below the cluster's directory."""
    root = place.directory / "containerd"
    cni = place.directory / "cni"
    cni.mkdir(exist_ok=True)
    (cni / "10-bridge.conflist").write_text(json.dumps(network.cni(cni / "addresses")))
    # Layers can't be stacked on a file system that is itself a stack, as in most containers.
    snapshotter = "native" if mounts.filesystem(place.directory) == "overlayfs" else "overlayfs"
    config = place.directory / "containerd.toml"
    config.write_text(f"""\
version = 2
root = "{root / "root"}"
state = "{root / "state"}"
# They would make directories of their own elsewhere.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
  address = "{containerd_socket(place)}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Where root may not lower it (CAP_SYS_RESOURCE), no container would start.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{cni}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
    Root = "{root / "runc"}"
""")
    return ["--config", str(config)]


def kubelet(place: Place, record: Record) -> list[str]:
    """kubelet. Disk space is the user's business: nothing is evicted for it and no image is collected."""
    root = place.directory / "kubelet"
    root.mkdir(exist_ok=True)
    unlimited = {f"{which}.{what}": "0%" for which in ("nodefs", "imagefs") for what in ("available", "inodesFree")}
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.NODE_ADDRESS,
        "port": record.ports["kubelet"],
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": record.ports["kubelet-healthz"],
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(place.directory / "pki" / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{containerd_socket(place)}",
        "podLogsDir": str(place.directory / "pod-logs"),
        "volumePluginDir": str(root / "volume-plugins"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup(record)}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": False,
        "clusterDNS": [network.DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(RESOLV_CONF),
        "maxPods": 250,
        "serializeImagePulls": False,
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", **unlimited},
    }
    path = place.directory / "kubelet.json"
    path.write_text(json.dumps(config, indent=2))
    return [
        f"--config={path}",
        f"--kubeconfig={controlplane.credentials(place, 'kubelet')}",
        f"--hostname-override={node_name(record)}",
        f"--node-ip={network.NODE_ADDRESS}",
        f"--root-dir={root}",
        f"--cert-dir={root / 'pki'}",
    ]


def proxy(place: Place, record: Record) -> list[str]:
    """kube-proxy, which needs no kernel setting that it may be forbidden to write."""
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clusterCIDR": network.POD_CIDR,
        "hostnameOverride": node_name(record),
        "clientConnection": {"kubeconfig": str(controlplane.credentials(place, "kube-proxy"))},
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "healthzBindAddress": f"127.0.0.1:{record.ports['kube-proxy-healthz']}",
        "metricsBindAddress": f"127.0.0.1:{record.ports['kube-proxy-metrics']}",
        "oomScoreAdj": 0,
    }
    path = place.directory / "kube-proxy.json"
    path.write_text(json.dumps(config, indent=2))
    return [f"--config={path}"]


def coredns(place: Place, record: Record) -> list[str]:
    """CoreDNS, on the host: it asks whom the host asks for names outside the cluster."""
    has_servers = any(line.split()[:1] == ["nameserver"] for line in _lines(RESOLV_CONF))
    config = place.directory / "Corefile"
    config.write_text(f"""\
.:{record.ports["dns"]} {{
    bind {network.NODE_ADDRESS}
    errors
    ready 127.0.0.1:{record.ports["dns-ready"]}
    kubernetes cluster.local in-addr.arpa ip6.arpa {{
        kubeconfig {controlplane.credentials(place, "coredns")}
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }}
    {f"forward . {RESOLV_CONF}" if has_servers else ""}
    cache 30
}}
""")
    return ["-conf", str(config)]


def node_name(record: Record) -> str:
    """The node is named after the cluster."""
    return record.name


def cgroup(record: Record) -> str:
    """The name of the control group of all pods."""
    return f"mcp-orchestrator-{record.name}"


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []
