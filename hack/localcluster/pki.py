"""Keys and certificates of an embedded cluster, made with openssl in one directory. Used by embedded."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from console.problems import Problem

VALID_DAYS = "365"
# Instead of the system's configuration, which adds extensions of its own.
CONFIG = "[req]\ndistinguished_name = name\n[name]\n"


@dataclass(frozen=True, slots=True)
class Client:
    """Who a certificate says its bearer is, and which authority signs it."""

    file: str
    user: str
    group: str = ""
    authority: str = "ca"

    @property
    def subject(self) -> str:
        return f"{f'/O={self.group}' if self.group else ''}/CN={self.user}"


CLIENTS = (
    Client("admin", "kubernetes-admin", "system:masters"),
    Client("kube-apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters"),
    Client("kube-controller-manager", "system:kube-controller-manager"),
    Client("kube-scheduler", "system:kube-scheduler"),
    Client("kube-proxy", "system:kube-proxy"),
    Client("coredns", "system:coredns"),
    Client("kwok", "system:kwok", "system:masters"),
    # The API server, when it passes a request on to an aggregated one. Not the clusters' own authority: whoever
    # has a certificate of this one may say in a header who he is.
    Client("front-proxy", "front-proxy", authority="front-proxy-ca"),
)


def node_client(node: str) -> Client:
    """The identity of a kubelet, as the node authorizer wants it."""
    return Client("kubelet", f"system:node:{node}", "system:nodes")


def create(directory: Path, clients: Sequence[Client], addresses: Sequence[str]) -> None:
    """Make the authorities, the API server's certificate for `addresses`, and a certificate per client."""
    if not shutil.which("openssl"):
        raise Problem("There is no openssl here, which makes the cluster's certificates.", "apt-get install openssl")
    directory.mkdir(mode=0o700)
    (directory / "openssl.cnf").write_text(CONFIG)
    limits = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
    for authority in ("ca", "front-proxy-ca"):
        _certify(directory, authority, f"/CN={authority}", limits)
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    alternatives = [*(f"DNS:{name}" for name in names), "DNS:kubernetes.default.svc.cluster.local"]
    alternatives += [f"IP:{address}" for address in addresses]
    named = f"subjectAltName={','.join(alternatives)}"
    _sign(directory, "kube-apiserver", "/CN=kube-apiserver", ("extendedKeyUsage=serverAuth", named))
    for client in clients:
        _sign(directory, client.file, client.subject, ("extendedKeyUsage=clientAuth",), client.authority)
    curve = ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    _openssl("genpkey", *curve, "-out", directory / "sa.key")
    _openssl("pkey", "-in", directory / "sa.key", "-pubout", "-out", directory / "sa.pub")


def _sign(directory: Path, name: str, subject: str, extensions: Sequence[str], authority: str = "ca") -> None:
    limits = ("basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature")
    signer = ("-CA", directory / f"{authority}.crt", "-CAkey", directory / f"{authority}.key")
    _certify(directory, name, subject, (*limits, *extensions), signer)


def _certify(
    directory: Path, name: str, subject: str, extensions: Sequence[str], signer: Sequence[str | Path] = ()
) -> None:
    """A new key and its certificate, signed by itself if there is no signer."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", directory / f"{name}.key")
    words = ("-config", directory / "openssl.cnf", "-days", VALID_DAYS, "-subj", subject, *signer)
    added = (word for extension in extensions for word in ("-addext", extension))
    _openssl("req", "-x509", *key, *words, *added, "-out", directory / f"{name}.crt")


def _openssl(*words: str | Path) -> None:
    done = subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Problem(f"`openssl {words[0]}` failed: {done.stderr.strip()[-400:]}")
