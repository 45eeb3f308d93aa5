"""What the environment says, read once: every program of the image starts here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

PREFIX = "MCP_ORCHESTRATOR_"
_KEY_PREFIX = r"(?=.{0,63}$)([\w-][\w.-]*(/[\w-][\w.-]*)*)?"
"""Short, since each reference to a result has it, and a status may have a thousand of them."""


class InvalidSetting(ValueError):
    """An environment variable whose value can't be used; the message names it and says what is allowed."""


def clock() -> datetime:
    """The present moment in UTC. The only place that reads the wall clock, so that everything else takes `now`."""
    return datetime.now(UTC)  # noqa: TID251 - the one allowed reader


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """A bucket for results that are too large for a run's status. Its credentials are the runner's affair alone."""

    bucket: str
    prefix: str = ""
    """What all keys begin with, without slashes at its ends."""
    endpoint: str = ""
    """Where the store is, if it is not AWS."""
    region: str = ""
    secret_name: str = ""
    """The Secret with the credentials, in each namespace that has runs; none for the identity of the runner's pod."""
    max_result_bytes: int = 16 * 1024 * 1024
    """The most compressed bytes of one result."""
    max_run_bytes: int = 256 * 1024 * 1024
    """The most compressed bytes of all results that one pod of a run writes."""

    def environment(self) -> dict[str, str]:
        """The variables that tell another program of the image, as `read` understands them."""
        told = {
            "BUCKET": self.bucket,
            "PREFIX": self.prefix,
            "ENDPOINT": self.endpoint,
            "REGION": self.region,
            "SECRET": self.secret_name,
            "MAX_RESULT_BYTES": str(self.max_result_bytes),
            "MAX_RUN_BYTES": str(self.max_run_bytes),
        }
        return {f"OBJECT_STORE_{name}": value for name, value in told.items() if value}


@dataclass(frozen=True, slots=True)
class Settings:
    """The operator's settings, with the defaults of a fresh installation."""

    mode: str = "production"
    log_level: str = "INFO"
    max_concurrent_workflows: int = 10
    limits_file: str = ""
    """A file with the limits of controllers.limits, whose word counts more; none for the setting above alone."""
    timeout_seconds: int = 3600
    retry_attempts: int = 3
    image: str = "mcp-orchestrator:dev"
    image_pull_policy: str = "IfNotPresent"
    namespace: str = "mcp-orchestrator"
    watch_namespaces: tuple[str, ...] = ()
    workers: int = 16
    http_port: int = 8080
    leader_elect: bool = True
    identity: str = "mcp-orchestrator"
    lease: str = "mcp-orchestrator"
    """Name of the Lease of all replicas of one installation; another installation in the same namespace has its own."""
    runner_accounts: str = "create"
    """create: the operator makes the runners' service account in each namespace; existing: the chart did."""
    object_store: ObjectStore | None = None
    """None keeps large results in ConfigMaps."""
    cache_secret: str = ""
    """The Secret that says where the cache is and what its key is, in each namespace that has runs, if there is one."""
    cache_max_answers: int = 500
    """The most cached answers that a namespace has in the cluster; 0 for none."""
    receipt_days: int = 30
    """How many days after its run's end an idempotency key is remembered."""
    max_receipts: int = 10_000
    """The most idempotency keys that are remembered in a namespace: runs with further ones wait."""


def read(environ: Mapping[str, str]) -> Settings:
    """Settings from `environ`, the variables of the process.

    Raises InvalidSetting with the variable's name and the remedy.
    """
    source = _Source(environ)
    default = Settings()
    return Settings(
        mode=source.choice("MODE", default.mode, ("production", "development")),
        log_level=source.choice("LOG_LEVEL", default.log_level, ("DEBUG", "INFO", "WARNING", "ERROR")),
        max_concurrent_workflows=source.integer("MAX_CONCURRENT_WORKFLOWS", default.max_concurrent_workflows, 0),
        limits_file=source.text("LIMITS_FILE", default.limits_file),
        timeout_seconds=max(1, source.integer("TIMEOUT", default.timeout_seconds * 1000, 1000) // 1000),
        retry_attempts=source.integer("RETRY_ATTEMPTS", default.retry_attempts, 1),
        image=source.text("IMAGE", default.image),
        image_pull_policy=source.choice(
            "IMAGE_PULL_POLICY", default.image_pull_policy, ("Always", "IfNotPresent", "Never")
        ),
        namespace=source.text("NAMESPACE", default.namespace),
        watch_namespaces=tuple(n.strip() for n in source.text("WATCH_NAMESPACES", "").split(",") if n.strip()),
        workers=source.integer("WORKERS", default.workers, 1),
        http_port=source.integer("HTTP_PORT", default.http_port, 0),
        leader_elect=source.choice("LEADER_ELECT", "true", ("true", "false")) == "true",
        identity=source.text("IDENTITY", default.identity),
        lease=source.text("LEASE", default.lease),
        runner_accounts=source.choice("RUNNER_ACCOUNTS", default.runner_accounts, ("create", "existing")),
        object_store=_object_store(source),
        cache_secret=source.text("CACHE_SECRET", default.cache_secret),
        cache_max_answers=source.integer("CACHE_MAX_ANSWERS", default.cache_max_answers, 0),
        receipt_days=source.integer("RECEIPT_DAYS", default.receipt_days, 1, 3650),
        max_receipts=source.integer("MAX_RECEIPTS", default.max_receipts, 1),
    )


def _object_store(source: _Source) -> ObjectStore | None:
    name = "OBJECT_STORE_"
    if not source.text(f"{name}BUCKET", ""):
        return None
    default = ObjectStore("")
    return ObjectStore(
        bucket=source.shaped(f"{name}BUCKET", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", "the name of a bucket"),
        prefix=source.shaped(f"{name}PREFIX", _KEY_PREFIX, "a path like a/b, of at most 63 characters"),
        endpoint=source.shaped(f"{name}ENDPOINT", r"(https?://[^\s@?#]+)?", "an http or https URL").rstrip("/"),
        region=source.text(f"{name}REGION", ""),
        secret_name=source.text(f"{name}SECRET", ""),
        max_result_bytes=source.integer(f"{name}MAX_RESULT_BYTES", default.max_result_bytes, 1),
        max_run_bytes=source.integer(f"{name}MAX_RUN_BYTES", default.max_run_bytes, 1),
    )


@dataclass(frozen=True, slots=True)
class _Source:
    environ: Mapping[str, str]

    def text(self, name: str, default: str) -> str:
        return self.environ.get(PREFIX + name, "").strip() or default

    def integer(self, name: str, default: int, least: int, most: int | None = None) -> int:
        value = self.text(name, str(default))
        if not value.isdecimal() or int(value) < least or (most is not None and int(value) > most):
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise InvalidSetting(f"{PREFIX}{name} is {value!r}: set it to a whole number {bounds}")
        return int(value)

    def shaped(self, name: str, pattern: str, what: str) -> str:
        value = self.text(name, "")
        if not re.fullmatch(pattern, value, re.ASCII):
            raise InvalidSetting(f"{PREFIX}{name} is {value!r}: set it to {what}")
        return value

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        for candidate in allowed:
            if value.lower() == candidate.lower():
                return candidate
        raise InvalidSetting(f"{PREFIX}{name} is {value!r}: set it to one of {', '.join(allowed)}")
