"""The API server of an embedded cluster, asked over HTTPS with the administrator's certificate. Used by embedded."""

import http.client
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from console.problems import Problem

Object = dict[str, Any]
# Those that are applied here.
PATHS = {
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices",
    "Node": "/api/v1/nodes",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
}


@dataclass(frozen=True, slots=True)
class Api:
    """The API server on this machine's loopback address."""

    port: int
    pki: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, body: Object | None = None, kind: str = "json") -> tuple[int, str]:
        """One request: the status code and the body. Raises OSError when nothing answers."""
        tls = ssl.create_default_context(cafile=str(self.pki / "ca.crt"))
        tls.load_cert_chain(self.pki / "admin.crt", self.pki / "admin.key")
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=tls, timeout=10)
        try:
            headers = {"Content-Type": f"application/{kind}"} if body is not None else {}
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(str(error)) from error
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether the server answers, and says that it is ready."""
        try:
            return self.request("GET", "/readyz")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def get(self, path: str) -> Object | None:
        """An object or a list; None where there is none. Raises Problem."""
        status, text = self.request("GET", path)
        if status == http.HTTPStatus.NOT_FOUND:
            return None
        return _parsed(status, text, f"GET {path}")

    def apply(self, manifest: Object) -> None:
        """Create an object, or make it as the manifest says. Raises Problem."""
        metadata: Mapping[str, str] = manifest["metadata"]
        collection = PATHS[manifest["kind"]].format(namespace=metadata.get("namespace", ""))
        path = f"{collection}/{metadata['name']}?fieldManager=hack-cluster&force=true"
        status, text = self.request("PATCH", path, manifest, "apply-patch+yaml")
        _parsed(status, text, f"apply {manifest['kind']} {metadata['name']}")

    def merge(self, path: str, patch: Object) -> None:
        """Change some fields of an object. Raises Problem."""
        status, text = self.request("PATCH", path, patch, "merge-patch+json")
        _parsed(status, text, f"patch {path}")


def _parsed(status: int, text: str, what: str) -> Object:
    if status >= http.HTTPStatus.BAD_REQUEST:
        raise Problem(f"The API server refused to {what}: HTTP {status}: {text[:400]}")
    parsed: Object = json.loads(text)
    return parsed


def answers(port: int, path: str) -> bool:
    """Whether a health endpoint on loopback says 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
