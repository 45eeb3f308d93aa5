"""How to reach the API server: the pod's service account or a kubeconfig, as sessions that carry the credentials.

The operator, the runner and the command line call `load` once; `client` and kopf get their sessions from the result.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from mcp_orchestrator.cluster import credentials, kubeconfig

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

ConfigError = kubeconfig.ConfigError


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the API server is and who we are to it. `namespace` is the one meant where none is named."""

    server: str
    namespace: str = "default"
    ssl_context: ssl.SSLContext | None = None
    token: credentials.Token | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None

    def new_session(self, *, limit: int = 64) -> aiohttp.ClientSession:
        """A session of at most `limit` connections, 0 for any number. It adds the credentials to each request, and
        reads them anew after a 401.

        Must be called inside the event loop; the caller closes it.
        """
        connector = aiohttp.TCPConnector(limit=limit, ssl=self.ssl_context or True, keepalive_timeout=60)
        return aiohttp.ClientSession(
            connector=connector,
            headers={"User-Agent": "mcp-orchestrator", "Accept": "application/json, */*", **self.headers},
            middlewares=(credentials.Authorization(self.token),) if self.token else (),
            proxy=self.proxy,
            cookie_jar=aiohttp.DummyCookieJar(),
        )


def load(environ: Mapping[str, str] | None = None) -> Connection:
    """The connection that the environment describes.

    KUBECONFIG first, since whoever sets it means it; then the pod's service account; then ~/.kube/config.
    Raises ConfigError with the remedy.
    """
    source = os.environ if environ is None else environ
    paths = kubeconfigs(source)
    if source.get("KUBECONFIG"):
        return from_kubeconfig(paths)
    if source.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
        return in_cluster(source)
    if paths[0].exists():
        return from_kubeconfig(paths)
    raise ConfigError("no cluster: set KUBECONFIG to a kubeconfig file, or run in a pod with a service account token")


def kubeconfigs(environ: Mapping[str, str] | None = None) -> tuple[Path, ...]:
    """The kubeconfig files that kubectl would read: those of KUBECONFIG, else ~/.kube/config."""
    source = os.environ if environ is None else environ
    named = tuple(Path(path) for path in source.get("KUBECONFIG", "").split(os.pathsep) if path)
    return named or (Path(source.get("HOME", "~")).expanduser() / ".kube" / "config",)


def in_cluster(environ: Mapping[str, str], root: Path = SERVICE_ACCOUNT) -> Connection:
    """The connection of a pod. The token is read again as the kubelet rotates it."""
    try:
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ["KUBERNETES_SERVICE_PORT"]
        namespace = (root / "namespace").read_text(encoding="utf-8").strip()
    except (KeyError, OSError) as error:
        raise ConfigError(f"the pod has no service account to use ({error!r}): mount its token") from error
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        namespace=namespace,
        ssl_context=kubeconfig.ssl_context(ca_file=str(root / "ca.crt")),
        token=credentials.FileToken(root / "token"),
    )


def from_kubeconfig(paths: tuple[Path, ...], context: str | None = None) -> Connection:
    """The connection that `context` (default: the current one) of the merged files describes.

    Raises ConfigError for what is missing, and for a way of logging in that needs the `kubernetes` package.
    """
    access = kubeconfig.read(paths, context)
    return Connection(
        server=access.server,
        namespace=access.namespace,
        ssl_context=access.ssl_context,
        token=access.token,
        headers=access.headers,
        proxy=access.proxy,
    )
