"""A cluster from executables that are built here, without Docker or a registry: real node or fake ones. Used by cli."""

import contextlib
import dataclasses
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from console import progress
from console.problems import Problem
from console.progress import Progress

from . import (
    api,
    build,
    cgroups,
    controlplane,
    images,
    kubeconfig,
    litter,
    manifests,
    mounts,
    network,
    node,
    packages,
    pki,
    state,
    sysctls,
    versions,
)
from .processes import Processes
from .state import Home, Place, Record

# What containerd needs to reach registries.
PASSED_ON = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE")


def prepare(nodes: str) -> None:
    """Raise Problem early for what this machine or user can't do."""
    packages.need_linux()
    if nodes == "real":
        packages.need_root()


def up(
    home: Home, place: Place, nodes: str, shown: Progress, environ: Mapping[str, str], *, audit_states: bool = False
) -> None:
    """Start a cluster and wait until it can be used. Raises Problem; then nothing but its logs is left."""
    kube = build.kube(home, shown)
    kwok = build.installed(home, "sigs.k8s.io/kwok/cmd/kwok", versions.KWOK, shown) if nodes == "fake" else None
    if nodes == "real":
        packages.ensure(shown)
    shown.begin()
    started = time.monotonic()
    shutil.rmtree(place.failed_logs, ignore_errors=True)
    with state.locked(home.root / "locks" / ".ports"):
        if nodes == "real":
            _need_no_other(home)
            network.check()
        record = place.write(_new_record(home, place, nodes, audit_states))
    try:
        Start(place, record, kube, kwok, shown, environ).run()
    except Problem as problem:
        give_up(place, record)
        raise Problem(problem.message, problem.remedy or f"All logs are in {place.failed_logs}.") from problem
    except BaseException:
        give_up(place, record)
        raise
    place.write(dataclasses.replace(record, ready_after_seconds=round(time.monotonic() - started, 1)))
    what = f"embedded, Kubernetes {versions.KUBERNETES}"
    shown.done("cluster", f"{what}, {'1 node' if nodes == 'real' else f'{manifests.FAKE_NODES} fake nodes'}")


def _need_no_other(home: Home) -> None:
    """Raise Problem if a real node is up: its network has fixed names and addresses."""
    for other in home.clusters():
        if (record := other.read()) and (record.provider, record.nodes) == ("embedded", "real"):
            raise Problem(
                f'Cluster "{other.name}" has a real node, and there is room for one on a machine.',
                f"hack/cluster down --name {other.name}, or use --nodes fake.",
            )


def _new_record(home: Home, place: Place, nodes: str, audit_states: bool) -> Record:
    return Record(
        name=place.name,
        provider="embedded",
        nodes=nodes,
        version=versions.KUBERNETES,
        ports=state.free_ports(home),
        sysctls=sysctls.current() if nodes == "real" else {},
        audit_states=audit_states,
    )


class Start:
    """One start of a cluster, from an empty directory to a ready node."""

    def __init__(
        self, place: Place, record: Record, kube: build.Kube, kwok: Path | None, shown: Progress,
        environ: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._place = place
        self._record = record
        self._kube = kube
        self._kwok = kwok
        self._shown = shown
        self._environ = environ
        self._processes = processes_of(place, record)
        self._api = api_of(place, record)

    def run(self) -> None:
        """Start everything, in the order in which one needs the other."""
        self._place.logs.mkdir()
        self._write_identities()
        if self._record.nodes == "real":
            self._make_network()
        self._start("etcd", controlplane.etcd(self._place, self._record))
        self._start("kube-apiserver", controlplane.apiserver(self._place, self._record))
        if self._record.nodes == "real":
            self._start_containerd()
        self._wait("the API server", self._api.is_ready)
        self._start("kube-controller-manager", controlplane.controller_manager(self._place, self._record))
        self._start("kube-scheduler", controlplane.scheduler(self._place, self._record))
        if self._record.nodes == "real":
            self._start_node()
        else:
            self._start_fake_nodes()
        self._make_storage()
        self._wait("the nodes", lambda: not problems_of_nodes(self._api))
        # Without it no pod is admitted.
        account = "/api/v1/namespaces/default/serviceaccounts/default"
        self._wait("the default service account", lambda: self._api.get(account) is not None)

    def _write_identities(self) -> None:
        directory = self._place.directory / "pki"
        addresses = ("127.0.0.1", network.API_ADDRESS, network.NODE_ADDRESS)
        kubelet = pki.node_client(node.node_name(self._record))
        pki.create(directory, (*pki.CLIENTS, kubelet), addresses)
        name = f"mcp-orchestrator-{self._place.name}"
        for client in (*pki.CLIENTS, kubelet):
            path = controlplane.credentials(self._place, client.file)
            kubeconfig.write(path, name=name, server=self._api.url, pki=directory, client=client.file)
        kubeconfig.write(self._place.kubeconfig, name=name, server=self._api.url, pki=directory, client="admin")

    def _make_network(self) -> None:
        ports = self._record.ports
        network.create([ports["kube-apiserver"]])
        sysctls.write(sysctls.WANTED)
        cgroups.create(node.cgroup(self._record))

    def _start_containerd(self) -> None:
        socket = node.containerd_socket(self._place)
        passed_on = {name: self._environ[name] for name in PASSED_ON if name in self._environ}
        containerd = shutil.which("containerd") or "containerd"
        self._processes.start("containerd", [containerd, *node.containerd(self._place)], env=passed_on)
        self._wait("containerd", socket.exists)
        archive = self._place.directory / "pause.tar"
        images.write(archive, name=node.PAUSE_IMAGE, executable=self._kube.pause)
        images.load(archive, socket)

    def _start_node(self) -> None:
        for manifest in (*manifests.proxy(), *manifests.dns(self._record.ports["dns"])):
            self._api.apply(manifest)
        self._start("kubelet", node.kubelet(self._place, self._record))
        self._start("kube-proxy", node.proxy(self._place, self._record))
        self._start("coredns", node.coredns(self._place, self._record))
        self._wait("CoreDNS", lambda: api.answers(self._record.ports["dns-ready"], "/ready"))
        self._wait("kube-proxy", lambda: api.answers(self._record.ports["kube-proxy-healthz"], "/healthz"))

    def _start_fake_nodes(self) -> None:
        for manifest in manifests.fake_nodes():
            self._api.apply(manifest)
        self._processes.start("kwok", [str(self._kwok), *controlplane.kwok(self._place, self._record)])

    def _make_storage(self) -> None:
        for directory in manifests.volume_directories(self._place.volumes):
            directory.mkdir(parents=True)
            # For pods of any user; mkdir's mode is subject to the umask.
            directory.chmod(0o777)
        for manifest in manifests.storage(self._place.volumes):
            self._api.apply(manifest)

    def _start(self, name: str, arguments: list[str]) -> None:
        self._processes.start(name, [str(self._kube.executable), *arguments])

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        def checked() -> bool:
            self._processes.check()
            return ready()

        progress.wait_for(self._shown, "cluster", what, checked, timeout_seconds=90)


def give_up(place: Place, record: Record) -> None:
    """Take down what did not become a cluster, but keep its logs."""
    with contextlib.suppress(OSError):
        place.logs.rename(place.failed_logs)
    down(place, record)


def down(place: Place, record: Record) -> None:
    """End everything that belongs to the cluster and remove its traces. Raises Problem if something stays."""
    # Kept while a half-removed cluster may need a second try; the record is the last thing to go.
    processes = processes_of(place, record)
    processes.end()
    if record.nodes == "real":
        cgroups.remove(node.cgroup(record))
        processes.end()
        mounts.remove(place.directory)
        network.remove()
        sysctls.write(record.sysctls)
        litter.remove(place.directory)
    place.forget()


def refresh(place: Place, record: Record) -> None:
    """Give volumes whose claim is gone back, empty."""
    server = api_of(place, record)
    listed = server.get("/api/v1/persistentvolumes") or {}
    ours = {path.name: path for path in manifests.volume_directories(place.volumes)}
    released = [volume for volume in listed.get("items", ()) if volume.get("status", {}).get("phase") == "Released"]
    for volume in released:
        name = volume["metadata"]["name"]
        if name in ours:
            for path in ours[name].iterdir():
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
            server.merge(f"/api/v1/persistentvolumes/{name}", {"spec": {"claimRef": None}})


def problems(place: Place, record: Record) -> tuple[str, ...]:
    """What is wrong with the cluster, in a few words each; nothing for a healthy one."""
    if record.ready_after_seconds is None:
        return ("it was never ready",)
    if dead := processes_of(place, record).dead():
        return tuple(f"{name} has ended" for name in dead)
    server = api_of(place, record)
    if not server.is_ready():
        return ("the API server is not ready",)
    found = list(problems_of_nodes(server))
    if record.nodes == "real" and not api.answers(record.ports["dns-ready"], "/ready"):
        found.append("CoreDNS is not ready")
    return tuple(found)


def problems_of_nodes(server: api.Api) -> tuple[str, ...]:
    """The nodes that are not ready; one sentence if there is none at all."""
    listed = server.get("/api/v1/nodes") or {}
    ready = {
        item["metadata"]["name"]: any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for condition in item.get("status", {}).get("conditions", ())
        )
        for item in listed.get("items", ())
    }
    if not ready:
        return ("there is no node",)
    return tuple(f"node {name} is not ready" for name, is_ready in ready.items() if not is_ready)


def load_image(place: Place, archive: Path) -> bool:
    """Bring an archive's images to the node, if it has not got them; whether that was needed."""
    socket = node.containerd_socket(place)
    if images.is_present(archive, images.node_ctr(socket)):
        return False
    images.load(archive, socket)
    return True


def processes_of(place: Place, record: Record) -> Processes:
    return Processes(place.directory / "processes", place.logs, record.token)


def api_of(place: Place, record: Record) -> api.Api:
    return api.Api(record.ports["kube-apiserver"], place.directory / "pki")
