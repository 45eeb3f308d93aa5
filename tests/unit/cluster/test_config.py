"""Ways to a cluster, tried on real files and a real TLS server."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import test_utils, web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.cluster.scripted_server import ok, scripted, status

from mcp_orchestrator.cluster import client, config, credentials, errors, resources


def a_kubeconfig(folder: Path, name: str = "config", **changes: Any) -> Path:
    content: dict[str, Any] = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u", "namespace": "team"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1/"}}],
        "users": [{"name": "u", "user": {"token": "secret"}}],
    }
    path = folder / name
    path.write_text(yaml.safe_dump(content | changes))
    return path


def test_the_current_context_of_a_kubeconfig_says_where_and_who(tmp_path: Path) -> None:
    connection = config.load({"KUBECONFIG": str(a_kubeconfig(tmp_path))})
    assert (connection.server, connection.namespace) == ("http://127.0.0.1:1", "team")
    assert connection.token == credentials.FixedToken("secret")


def test_of_several_kubeconfigs_the_first_that_names_a_thing_counts(tmp_path: Path) -> None:
    second = {"clusters": [{"name": "c", "cluster": {"server": "http://second"}}]}
    first = a_kubeconfig(tmp_path, "first", **{"current-context": "", "users": []})
    other = a_kubeconfig(tmp_path, "second", **second)
    connection = config.load({"KUBECONFIG": f"{first}:{other}:{tmp_path / 'missing'}"})
    assert connection.server == "http://127.0.0.1:1"
    assert connection.token == credentials.FixedToken("secret")


async def test_a_token_file_is_looked_for_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("from-file\n")
    path = a_kubeconfig(tmp_path, users=[{"name": "u", "user": {"tokenFile": "token"}}])
    token = config.from_kubeconfig((path,)).token
    assert token is not None
    assert await token.read() == "from-file"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"current-context": ""}, "no current-context", id="no-context-chosen"),
        pytest.param({"current-context": "there"}, "no entry 'there' under contexts", id="unknown-context"),
        pytest.param({"clusters": []}, "no entry 'c' under clusters", id="unknown-cluster"),
        pytest.param({"users": []}, "no entry 'u' under users", id="unknown-user"),
        pytest.param({"clusters": [{"name": "c", "cluster": {}}]}, "has no server", id="no-server"),
        pytest.param(
            {"clusters": [{"name": "c", "cluster": {"server": "https://x", "tls-server-name": "y"}}]},
            "tls-server-name",
            id="tls-server-name",
        ),
        pytest.param(
            {"clusters": [{"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": "%"}}]},
            "not base64",
            id="broken-data",
        ),
        pytest.param(
            {"clusters": [{"name": "c", "cluster": {"server": "https://x", "certificate-authority": "gone.crt"}}]},
            "can't be read",
            id="missing-authority",
        ),
        pytest.param({"users": [{"name": "u", "user": {"as-groups": ["x"]}}]}, "as-groups", id="groups"),
    ],
)
def test_a_kubeconfig_that_does_not_do_says_why(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(config.ConfigError, match=message):
        config.from_kubeconfig((a_kubeconfig(tmp_path, **changes),))


@pytest.mark.parametrize("text", [pytest.param("a: [", id="no-yaml"), pytest.param("- a", id="no-mapping")])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd").write_text(text)
    with pytest.raises(config.ConfigError, match="odd"):
        config.from_kubeconfig((tmp_path / "odd",))


def test_without_any_cluster_the_remedy_is_told(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="set KUBECONFIG"):
        config.load({"HOME": str(tmp_path)})


def test_a_kubeconfig_in_the_home_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    a_kubeconfig(tmp_path / ".kube")
    assert config.load({"HOME": str(tmp_path)}).namespace == "team"


async def test_an_exec_plugin_is_asked_through_the_kubernetes_package(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    version = "client.authentication.k8s.io/v1"
    answer = f'{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "plugged"}}}}'
    plugin = {
        "apiVersion": version,
        "command": sys.executable,
        "args": ["-c", f"print({answer!r})"],
        "interactiveMode": "Never",
    }
    path = a_kubeconfig(tmp_path, users=[{"name": "u", "user": {"exec": plugin}}])
    connection = config.from_kubeconfig((path,))
    assert (connection.server, connection.namespace) == ("http://127.0.0.1:1", "team")
    assert connection.token is not None
    assert await connection.token.read() == "plugged"


def a_service_account(folder: Path, authority: str) -> Path:
    (folder / "token").write_text("first")
    (folder / "namespace").write_text("team\n")
    (folder / "ca.crt").write_text(authority)
    return folder


def test_a_pod_uses_its_service_account(tmp_path: Path) -> None:
    root = a_service_account(tmp_path, a_pki().authority)
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    connection = config.in_cluster(environ, root)
    assert (connection.server, connection.namespace) == ("https://[fd00::1]:443", "team")


def test_a_pod_without_a_token_is_told_to_mount_one(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="mount its token"):
        config.in_cluster({}, tmp_path)


async def test_a_rotated_token_is_read_after_a_minute(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    now = 0.0
    token = credentials.FileToken(path, monotonic=lambda: now)
    assert await token.read() == "old"
    path.write_text("new")
    assert await token.read() == "old"
    now = 60.0
    assert await token.read() == "new"


async def test_a_refused_token_is_read_anew_and_the_request_sent_once_more(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("old")
    token = credentials.FileToken(path)
    await token.read()
    path.write_text("new")
    async with (
        scripted(status(401), ok({"a": 1})) as server,
        client.Client(config.Connection(server.url, token=token)) as subject,
    ):
        assert await subject.create(resources.JOBS, {"metadata": {"name": "j"}}) == {"a": 1}
    assert [request.headers["Authorization"] for request in server.received] == ["Bearer old", "Bearer new"]
    assert [request.body for request in server.received] == [{"metadata": {"name": "j"}}] * 2


async def test_a_token_that_stays_refused_is_an_error_at_once(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old")
    async with scripted(status(401, "Unauthorized", "Unauthorized")) as server:
        connection = config.Connection(server.url, token=credentials.FileToken(tmp_path / "token"))
        async with client.Client(connection) as subject:
            with pytest.raises(errors.Unavailable, match="Unauthorized"):
                await subject.get(resources.JOBS, "j", "team")
    assert len(server.received) == 1


@dataclass(frozen=True)
class Pki:
    authority: str
    certificate: str
    key: str


def a_pki() -> Pki:
    """An authority and a certificate for 127.0.0.1 that server and client share."""
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
    leaf_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "leaf")])

    def signed(name: x509.Name, key: ec.EllipticCurvePrivateKey, extension: x509.ExtensionType) -> str:
        builder = x509.CertificateBuilder(root_name, name, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        builder = builder.not_valid_after(datetime.datetime(2120, 1, 1, tzinfo=datetime.UTC))
        certificate = builder.add_extension(extension, critical=True).sign(root_key, hashes.SHA256())
        return certificate.public_bytes(serialization.Encoding.PEM).decode()

    key = leaf_key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return Pki(
        signed(root_name, root_key, x509.BasicConstraints(ca=True, path_length=None)),
        signed(leaf_name, leaf_key, address),
        key.decode(),
    )


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("as_files", [pytest.param(True, id="files"), pytest.param(False, id="data")])
async def test_client_certificates_of_a_kubeconfig_open_a_tls_server(tmp_path: Path, as_files: bool) -> None:
    pki = a_pki()
    for name, content in (("ca.crt", pki.authority), ("tls.crt", pki.certificate), ("tls.key", pki.key)):
        (tmp_path / name).write_text(content)
    demanding = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=pki.authority)
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    application = web.Application()
    application.router.add_get("/{path:.*}", ok({"a": 1}))
    server = test_utils.TestServer(application, scheme="https")
    await server.start_server(ssl=demanding)
    try:
        path = a_kubeconfig(tmp_path, **cluster_and_user(pki, f"https://127.0.0.1:{server.port}", as_files))
        async with client.Client(config.from_kubeconfig((path,))) as subject:
            assert await subject.get(resources.JOBS, "j", "team") == {"a": 1}
    finally:
        await server.close()


def cluster_and_user(pki: Pki, url: str, as_files: bool) -> dict[str, Any]:
    if as_files:
        cluster = {"certificate-authority": "ca.crt"}
        user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    else:
        cluster = {"certificate-authority-data": encoded(pki.authority)}
        user = {"client-certificate-data": encoded(pki.certificate), "client-key-data": encoded(pki.key)}
    return {"clusters": [{"name": "c", "cluster": {"server": url, **cluster}}], "users": [{"name": "u", "user": user}]}
