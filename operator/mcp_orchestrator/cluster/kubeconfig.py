"""Kubeconfig files: the common ways of logging in, and the `kubernetes` package for the others. `config` calls it."""

from __future__ import annotations

import base64
import binascii
import contextlib
import ssl
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from mcp_orchestrator.cluster import credentials


class ConfigError(Exception):
    """No usable way to a cluster; the message says what is missing and what to do."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a context of a kubeconfig comes to."""

    server: str
    namespace: str
    ssl_context: ssl.SSLContext | None
    token: credentials.Token | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    proxy: str | None = None


def read(paths: tuple[Path, ...], context: str | None = None) -> Access:
    """The access that `context` (default: the current one) of the merged files gives. Raises ConfigError."""
    config = _merge(paths)
    name = context or config.get("current-context")
    if not name:
        raise ConfigError(f"{_names(paths)} has no current-context: run `kubectl config use-context NAME`")
    chosen = _entry(config, "contexts", "context", name)
    cluster = _entry(config, "clusters", "cluster", chosen.get("cluster", ""))
    user = _entry(config, "users", "user", chosen["user"]) if chosen.get("user") else {}
    if not cluster.get("server"):
        raise ConfigError(f"the cluster of context {name!r} in {_names(paths)} has no server")
    if cluster.get("tls-server-name"):
        raise ConfigError(
            f"context {name!r} sets tls-server-name, which is not supported: use a name of the certificate"
        )
    if "exec" in user or "auth-provider" in user:
        return _plugin(paths, name, chosen, cluster)
    return Access(
        server=str(cluster["server"]).rstrip("/"),
        namespace=chosen.get("namespace") or "default",
        ssl_context=_context_of(cluster, user),
        token=_token(user),
        headers=_headers(user),
        proxy=cluster.get("proxy-url"),
    )


def contexts(paths: tuple[Path, ...]) -> tuple[str, ...]:
    """The names of the merged files' contexts. Raises ConfigError."""
    return tuple(_merge(paths)["contexts"])


def ssl_context(
    *,
    ca_file: str | None = None,
    ca_data: str | None = None,
    certificate: tuple[str, str] | None = None,
    insecure: bool = False,
) -> ssl.SSLContext:
    """A TLS context for an API server; `certificate` is the client's certificate file and key file."""
    try:
        context = ssl.create_default_context(cafile=ca_file, cadata=ca_data)
        if certificate:
            context.load_cert_chain(*certificate)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"the certificates can't be read: {error}") from error
    # Python 3.13 began to demand extensions that the certificate authorities of many clusters lack.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _merge(paths: tuple[Path, ...]) -> dict[str, Any]:
    """All files as one; of two entries with one name the first counts, as for kubectl."""
    merged: dict[str, Any] = {"clusters": {}, "contexts": {}, "users": {}}
    found = False
    for path in paths:
        if not path.exists():
            continue
        found = True
        content = _parse(path)
        merged["current-context"] = merged.get("current-context") or content.get("current-context")
        for section in ("clusters", "contexts", "users"):
            for entry in content.get(section) or ():
                if isinstance(entry, dict) and entry.get("name"):
                    merged[section].setdefault(entry["name"], _with_absolute_paths(entry, path.parent))
    if not found:
        raise ConfigError(f"there is no kubeconfig at {_names(paths)}: set KUBECONFIG to one that exists")
    return merged


def _parse(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"the kubeconfig {path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"the kubeconfig {path} is not a YAML mapping")
    return content


def _with_absolute_paths(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """File names in a kubeconfig are relative to the file that names them."""
    for part in ("cluster", "user"):
        for key in ("certificate-authority", "client-certificate", "client-key", "tokenFile"):
            if isinstance(entry.get(part), dict) and entry[part].get(key):
                entry[part][key] = str(folder / entry[part][key])
    return entry


def _entry(config: dict[str, Any], section: str, part: str, name: str) -> dict[str, Any]:
    try:
        content = config[section][name].get(part)
    except KeyError as error:
        raise ConfigError(f"the kubeconfig has no entry {name!r} under {section}") from error
    return content if isinstance(content, dict) else {}


def _names(paths: tuple[Path, ...]) -> str:
    return ", ".join(str(path) for path in paths)


def _token(user: dict[str, Any]) -> credentials.Token | None:
    if user.get("tokenFile"):
        return credentials.FileToken(Path(user["tokenFile"]))
    return credentials.FixedToken(user["token"]) if user.get("token") else None


def _headers(user: dict[str, Any]) -> dict[str, str]:
    headers = {"Impersonate-User": str(user["as"])} if user.get("as") else {}
    if user.get("as-groups") or user.get("as-user-extra"):
        raise ConfigError("as-groups and as-user-extra are not supported: use a user of the wanted group")
    if user.get("username") and user.get("password"):
        headers["Authorization"] = aiohttp.encode_basic_auth(user["username"], user["password"])
    return headers


def _context_of(cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext | None:
    if not str(cluster["server"]).startswith("https:"):
        return None
    authority = cluster.get("certificate-authority-data")
    with contextlib.ExitStack() as stack:
        return ssl_context(
            ca_file=None if authority else cluster.get("certificate-authority"),
            ca_data=_decode(authority).decode("ascii") if authority else None,
            certificate=_client_certificate(user, stack),
            insecure=bool(cluster.get("insecure-skip-tls-verify")),
        )


def _client_certificate(user: dict[str, Any], stack: contextlib.ExitStack) -> tuple[str, str] | None:
    certificate = _file(user, "client-certificate", stack)
    key = _file(user, "client-key", stack)
    return (certificate, key) if certificate and key else None


def _file(user: dict[str, Any], name: str, stack: contextlib.ExitStack) -> str | None:
    """The file's name. Data in the kubeconfig becomes a file for a moment, since `ssl` reads keys from files only."""
    if not (data := user.get(f"{name}-data")):
        return user.get(name)
    file = stack.enter_context(tempfile.NamedTemporaryFile())  # noqa: SIM115 - the stack closes it
    file.write(_decode(data))
    file.flush()
    return file.name


def _decode(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ConfigError(f"the kubeconfig holds data that is not base64: {error}") from error


def _plugin(paths: tuple[Path, ...], name: str, context: dict[str, Any], cluster: dict[str, Any]) -> Access:
    """Logging in by an exec plugin or an identity provider: the `kubernetes` package knows how."""
    try:
        kube_config, client = import_module("kubernetes.config.kube_config"), import_module("kubernetes.client")
    except ImportError as error:
        raise ConfigError(
            f"context {name!r} logs in through a plugin: install the kubernetes package (mcp-orchestrator[kubeconfig])"
        ) from error
    configuration = client.Configuration()
    try:
        kube_config.load_kube_config(
            config_file=":".join(str(path) for path in paths), context=name, client_configuration=configuration
        )
    except Exception as error:  # the package and its plugins raise what they like
        raise ConfigError(f"context {name!r} can't log in: {error}") from error
    pair = (configuration.cert_file, configuration.key_file)
    return Access(
        server=str(configuration.host).rstrip("/"),
        namespace=context.get("namespace") or "default",
        ssl_context=ssl_context(
            ca_file=configuration.ssl_ca_cert,
            certificate=pair if all(pair) else None,
            insecure=not configuration.verify_ssl,
        ),
        token=credentials.PluginToken(configuration) if configuration.api_key else None,
        proxy=cluster.get("proxy-url"),
    )
