"""What one gateway fronts and how: the JSON that the operator puts into the pod's environment. Read by gateway.main."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from mcp_orchestrator import settings

VARIABLE = settings.PREFIX + "GATEWAY"
"""The environment variable that holds the configuration."""
PORT = 15080


class InvalidConfig(ValueError):
    """A configuration that can't be used; the message is one line and names the field."""


class MissingSecret(ValueError):
    """A header's value that isn't in the environment; the message names the header and the remedy."""


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True, extra="forbid")


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 80) > 0
    except ValueError:
        usable = False
    if not usable:
        raise ValueError("is not an http:// or https:// address with a host")
    return value


HttpUrl = Annotated[str, Field(max_length=2048), AfterValidator(_http_url)]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", max_length=128)]


class Stdio(_Model):
    """A program in this container that speaks MCP on its standard input and output."""

    command: Annotated[str, Field(min_length=1)]
    args: tuple[str, ...] = ()


class Http(_Model):
    """A container in the same pod."""

    url: HttpUrl


class Header(_Model):
    """A header of every request to a remote server; the environment variable `env` holds its secret part."""

    name: HeaderName
    prefix: str = ""
    env: Annotated[str, Field(min_length=1)]


class Remote(_Model):
    """A server that runs elsewhere."""

    url: HttpUrl
    allow_private: bool = False
    headers: tuple[Header, ...] = ()

    @model_validator(mode="after")
    def _encrypted(self) -> Remote:
        if not self.allow_private and not self.url.startswith("https://"):
            raise ValueError("url must begin with https:// unless allowPrivate is set")
        return self


class HealthCheck(_Model):
    """How often the server is checked, and how long one check may take."""

    interval_seconds: Annotated[float, Field(gt=0, le=86400)] = 60
    timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 10


class GatewayConfig(_Model):
    """One gateway: the server's name, how to talk with it, and exactly one of stdio, http and remote."""

    name: Annotated[str, Field(min_length=1, max_length=253)]
    namespace: str = ""
    protocol: Literal["Auto", "2025-11-25", "2026-07-28"] = "Auto"
    timeout_seconds: Annotated[float, Field(gt=0, le=604_800)] = 30
    start_timeout_seconds: Annotated[float, Field(gt=0, le=3600)] = 120
    """How long a server may take until it answers for the first time: `uvx` and `npx` may have to download it."""
    health_check: HealthCheck = HealthCheck()
    drain_seconds: Annotated[int, Field(ge=0, le=3600)] = 20
    """How long calls in flight may go on after SIGTERM, of the 30 s that the kubelet gives the pod: longer than a
    runner that is drained at the same time waits for their answers."""
    host: str = ""
    """The address to listen on; all of the pod's, IPv4 and IPv6, if empty."""
    port: Annotated[int, Field(ge=0, le=65535)] = PORT
    """0 asks for a free one; the log line "listening" tells which."""
    stdio: Stdio | None = None
    http: Http | None = None
    remote: Remote | None = None

    @model_validator(mode="after")
    def _one_source(self) -> GatewayConfig:
        if [self.stdio, self.http, self.remote].count(None) != 2:
            raise ValueError("set exactly one of stdio, http and remote")
        return self


def read(environ: Mapping[str, str] | None = None) -> GatewayConfig:
    """The configuration in `environ` (default: the process's own).

    Raises InvalidConfig with one line that names the variable, the field and what is wrong with it.
    """
    text = (os.environ if environ is None else environ).get(VARIABLE, "")
    if not text.strip():
        raise InvalidConfig(f"{VARIABLE} is not set: it must hold the gateway's configuration as JSON")
    try:
        return GatewayConfig.model_validate_json(text)
    except ValidationError as error:
        problems = "; ".join(_problem(e["loc"], e["msg"]) for e in error.errors(include_url=False, include_input=False))
        raise InvalidConfig(f"{VARIABLE}: {problems}") from None


def child_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a stdio server: the container's, without what is the gateway's own."""
    source = os.environ if environ is None else environ
    return {name: value for name, value in source.items() if not name.startswith(settings.PREFIX)}


def header_values(remote: Remote, environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The headers of every request to `remote`.

    Raises MissingSecret when a variable is absent, empty, or holds what no header can carry.
    """
    source = os.environ if environ is None else environ
    values = {}
    for header in remote.headers:
        # Secrets made from files end with a newline more often than not.
        secret = source.get(header.env, "").strip()
        if not secret:
            raise MissingSecret(f"header {header.name} has no value: check the Secret that spec.remote.headers names")
        if not secret.isascii() or not secret.isprintable():
            raise MissingSecret(
                f"the value of header {header.name} has line breaks or other characters that a header can't carry: "
                "check the Secret that spec.remote.headers names"
            )
        values[header.name] = header.prefix + secret
    return values


def _problem(loc: tuple[int | str, ...], message: str) -> str:
    path = ".".join(str(part) for part in loc)
    text = message.removeprefix("Value error, ")
    return f"{path}: {text}" if path else text
