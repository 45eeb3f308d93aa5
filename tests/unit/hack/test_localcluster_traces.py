"""hack/cluster: what a real node leaves on a machine is recognised, and nothing of anyone else is touched."""

import socket
import sys
from pathlib import Path

import pytest

from localcluster import cgroups, litter, mounts, sysctls

CLUSTER = Path("/home/me/.cache/clusters/dev")
MOUNTINFO = f"""\
22 1 254:0 / / rw - ext4 /dev/vda rw
90 22 0:50 / {CLUSTER}/containerd/state/netns rw - tmpfs tmpfs rw
91 90 0:4 net:[1] {CLUSTER}/containerd/state/netns/cni-1 rw - nsfs nsfs rw
92 22 0:51 / {CLUSTER}/a\\040b rw - tmpfs tmpfs rw
93 22 0:52 / {CLUSTER}-2/kubelet rw - tmpfs tmpfs rw
"""
MOUNTS = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0
cgroup /sys/fs/cgroup/closed cgroup ro,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


def test_mounts_of_a_cluster_are_found_deepest_first_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    assert mounts.below(CLUSTER, tmp_path / "mountinfo") == (
        f"{CLUSTER}/containerd/state/netns/cni-1",
        f"{CLUSTER}/containerd/state/netns",
        f"{CLUSTER}/a b",
    )


def test_every_writable_cgroup_hierarchy_is_found(tmp_path: Path) -> None:
    (tmp_path / "mounts").write_text(MOUNTS)
    found = cgroups.hierarchies(tmp_path / "mounts")
    assert found == (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup/unified"))


def test_kernel_settings_come_back_as_they_were(tmp_path: Path) -> None:
    for name, value in {"net/ipv4/ip_forward": "0\n", "kernel/panic": "1\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(value)
    before = sysctls.current(tmp_path)
    assert before == {"net/ipv4/ip_forward": "0", "kernel/panic": "1"}
    sysctls.write(sysctls.WANTED, tmp_path)
    (tmp_path / "kernel/panic").write_text("10")
    assert sysctls.current(tmp_path) == {"net/ipv4/ip_forward": "1", "kernel/panic": "10"}
    sysctls.write(before, tmp_path)
    assert sysctls.current(tmp_path) == before


def test_traces_of_a_cluster_go_with_the_directories_that_they_alone_filled(tmp_path: Path) -> None:
    root, cluster = tmp_path / "root", tmp_path / "cluster"
    (cluster / "containerd/root/io.containerd.grpc.v1.cri/sandboxes/abc").mkdir(parents=True)
    results = root / "var/lib/cni/results"
    results.mkdir(parents=True)
    (results / "cni-loopback-abc-lo").touch()
    (results / "mcp-orchestrator-def-eth0").touch()
    logs = root / "var/log/containers"
    logs.mkdir(parents=True)
    (logs / "web.log").symlink_to(cluster / "pod-logs/web.log")
    litter.remove(cluster, root)
    assert not (root / "var/lib/cni").exists()
    assert not logs.exists()


def test_traces_of_others_stay(tmp_path: Path) -> None:
    root, cluster = tmp_path / "root", tmp_path / "cluster"
    others = [root / "var/lib/cni/results/cni-loopback-xyz-lo", root / "var/log/containers/db.log"]
    for path in others:
        path.parent.mkdir(parents=True)
    others[0].touch()
    others[1].symlink_to("/var/log/pods/db.log")
    litter.remove(cluster, root)
    assert all(path.is_symlink() or path.exists() for path in others)


@pytest.mark.skipif(sys.platform != "linux", reason="the error of an abandoned socket is the system's")
def test_a_socket_goes_when_nobody_listens_and_stays_when_somebody_does(tmp_path: Path) -> None:
    path = tmp_path / "var/lib/kubelet/device-plugins/kubelet.sock"
    path.parent.mkdir(parents=True)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        litter.remove(tmp_path / "cluster", tmp_path)
        assert path.exists()
    litter.remove(tmp_path / "cluster", tmp_path)
    assert not (tmp_path / "var/lib/kubelet").exists()
