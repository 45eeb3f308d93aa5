"""Logs and metrics of every program of the image: their format and names are a contract with dashboards and queries.

`__main__` sets logging up; whoever does the work counts it; the HTTP servers of operator and gateway call `scrape`.
"""

from __future__ import annotations

import logging
import os
import platform
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, exposition
from prometheus_client.registry import Collector
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # the library leaves it untyped

QUIET: Final = (
    "kopf.objects",
    "kopf.activities",
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "aiohttp.access",
    "asyncio",
)
"""Loggers that tell each step of a machine that works: only their warnings are news."""
FRAMEWORK_ATTRIBUTES: Final = frozenset({"k8s_skip", "k8s_ref", "settings", "color_message"})

SECONDS_OF_CALLS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SECONDS_OF_RUNS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
SECONDS_OF_PASSES: Final = (0.0001, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

# What the users' dashboards ask for.
WORKFLOW_EXECUTIONS = Counter(
    "mcp_orchestrator_workflow_executions", "Runs that ended, by outcome.", ("workflow_type", "status"), registry=None
)
WORKFLOW_DURATION = Histogram(
    "mcp_orchestrator_workflow_duration_seconds",
    "Time from a run's start to its end.",
    ("workflow_type",),
    registry=None,
    buckets=SECONDS_OF_RUNS,
)
ACTIVE_WORKFLOWS = Gauge("mcp_orchestrator_active_workflows", "Runs that hold a slot.", registry=None)
WAITING_WORKFLOWS = Gauge("mcp_orchestrator_waiting_workflows", "Runs that wait for a slot.", registry=None)
SERVER_REQUESTS = Counter(
    "mcp_orchestrator_mcp_server_requests", "Requests to MCP servers.", ("server_name", "status"), registry=None
)
SERVER_RESPONSE_TIME = Histogram(
    "mcp_orchestrator_mcp_server_response_time_seconds",
    "Time until an MCP server has answered.",
    ("server_name",),
    registry=None,
    buckets=SECONDS_OF_CALLS,
)
ERRORS = Counter("mcp_orchestrator_errors", "Errors, by class.", ("error_type", "component"), registry=None)
MEMORY_USAGE = Gauge("mcp_orchestrator_memory_usage_bytes", "Resident memory of this process.", registry=None)
CPU_USAGE = Gauge(
    "mcp_orchestrator_cpu_usage_percent",
    "CPU time since the last scrape; 100 is one core.",
    registry=None,
)
BUILD_INFO = Info("mcp_orchestrator_build", "The version of this process.", registry=None)
EVENT_LOOP_LAG = Gauge(
    "mcp_orchestrator_event_loop_lag_seconds", "How late the event loop served its last heartbeat.", registry=None
)
EVENTS_DROPPED = Counter(
    "mcp_orchestrator_events_dropped", "Kubernetes Events that were not recorded.", ("reason",), registry=None
)

# The names of controller-runtime and client-go: dashboards and alerts made for any operator work on this one.
RECONCILE_TOTAL = Counter(
    "controller_runtime_reconcile", "Reconcile passes, by result.", ("controller", "result"), registry=None
)
RECONCILE_ERRORS = Counter(
    "controller_runtime_reconcile_errors", "Reconcile passes that failed.", ("controller",), registry=None
)
RECONCILE_TIME = Histogram(
    "controller_runtime_reconcile_time_seconds",
    "Time of a reconcile pass.",
    ("controller",),
    registry=None,
    buckets=SECONDS_OF_PASSES,
)
ACTIVE_WORKERS = Gauge(
    "controller_runtime_active_workers", "Workers that are reconciling now.", ("controller",), registry=None
)
MAX_CONCURRENT_RECONCILES = Gauge(
    "controller_runtime_max_concurrent_reconciles", "Workers of the controller.", ("controller",), registry=None
)
QUEUE_DEPTH = Gauge("workqueue_depth", "Keys that wait for a worker.", ("name",), registry=None)
QUEUE_ADDS = Counter("workqueue_adds", "Keys added to the queue.", ("name",), registry=None)
QUEUE_DURATION = Histogram(
    "workqueue_queue_duration_seconds",
    "Time a key waits for a worker.",
    ("name",),
    registry=None,
    buckets=SECONDS_OF_PASSES,
)
QUEUE_WORK_DURATION = Histogram(
    "workqueue_work_duration_seconds",
    "Time a worker spends on a key.",
    ("name",),
    registry=None,
    buckets=SECONDS_OF_PASSES,
)
QUEUE_RETRIES = Counter("workqueue_retries", "Keys added again after a failure.", ("name",), registry=None)
QUEUE_UNFINISHED = Gauge(
    "workqueue_unfinished_work_seconds", "Sum of the ages of all work in progress.", ("name",), registry=None
)
QUEUE_LONGEST_RUNNING = Gauge(
    "workqueue_longest_running_processor_seconds", "Age of the oldest work in progress.", ("name",), registry=None
)
REST_REQUESTS = Counter(
    "rest_client_requests", "Requests to the API server, by answer.", ("code", "method", "host"), registry=None
)
REST_DURATION = Histogram(
    "rest_client_request_duration_seconds",
    "Time until the API server has answered.",
    ("verb", "host"),
    registry=None,
    buckets=SECONDS_OF_CALLS,
)
LEADER = Gauge("leader_election_master_status", "1 while this process leads.", ("name",), registry=None)


def _registry(*collectors: Collector) -> CollectorRegistry:
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    ProcessCollector(registry=registry)
    return registry


GATEWAY: Final = _registry(SERVER_REQUESTS, SERVER_RESPONSE_TIME, ERRORS, MEMORY_USAGE, CPU_USAGE, BUILD_INFO)
"""What a gateway exposes."""
OPERATOR: Final = _registry(
    *(WORKFLOW_EXECUTIONS, WORKFLOW_DURATION, ACTIVE_WORKFLOWS, WAITING_WORKFLOWS, SERVER_REQUESTS),
    *(SERVER_RESPONSE_TIME, ERRORS),
    *(MEMORY_USAGE, CPU_USAGE, BUILD_INFO, EVENT_LOOP_LAG, EVENTS_DROPPED),
    *(RECONCILE_TOTAL, RECONCILE_ERRORS, RECONCILE_TIME, ACTIVE_WORKERS, MAX_CONCURRENT_RECONCILES),
    *(QUEUE_DEPTH, QUEUE_ADDS, QUEUE_DURATION, QUEUE_WORK_DURATION, QUEUE_RETRIES, QUEUE_UNFINISHED),
    *(QUEUE_LONGEST_RUNNING, REST_REQUESTS, REST_DURATION, LEADER),
)
"""What the operator exposes."""


def scrape(registry: CollectorRegistry, accept: str = "") -> tuple[bytes, str]:
    """The metrics of `registry` and their content type: OpenMetrics if the header `accept` asks for it, else text."""
    track_process()
    encode, content_type = exposition.choose_encoder(accept)
    return encode(registry), content_type


def set_build_info(version: str) -> None:
    """Name the running version on both registries."""
    BUILD_INFO.info({"version": version, "python_version": platform.python_version()})


class _CpuShare:
    """CPU time over wall time between two readings: the state that a percentage needs."""

    def __init__(self) -> None:
        self._wall_seconds = time.monotonic()
        self._cpu_seconds = time.process_time()

    def percent(self) -> float:
        wall, cpu = time.monotonic(), time.process_time()
        elapsed, used = wall - self._wall_seconds, cpu - self._cpu_seconds
        self._wall_seconds, self._cpu_seconds = wall, cpu
        return 100.0 * used / elapsed if elapsed > 0 else 0.0


_cpu_share: Final = _CpuShare()


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except FileNotFoundError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def track_process() -> None:
    """Fill the gauges of memory and CPU; `scrape` calls it, so that the share is of the time between two scrapes."""
    MEMORY_USAGE.set(resident_bytes())
    CPU_USAGE.set(_cpu_share.percent())


def set_up_logging(level: str, json: bool) -> None:
    """Log to stdout from `level` up: one JSON object a line, or text for a person.

    Fields of `extra=` stand beside the message. A LogRecord owns the attribute `name`, so pass an object's name as
    `object_name`: it is written as `name`.
    """
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines() if json else _Text())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _time(record: logging.LogRecord) -> str:
    """RFC 3339 in UTC with milliseconds."""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z"


def _object_fields(record: logging.LogRecord) -> dict[str, Any]:
    """The object that kopf's loggers or ours were talking about."""
    reference = getattr(record, "k8s_ref", None)
    fields: dict[str, Any] = {}
    if isinstance(reference, dict):
        fields = {key: reference[key] for key in ("kind", "namespace", "name", "uid") if reference.get(key)}
    if (name := getattr(record, "object_name", None)) is not None:
        fields["name"] = name
    return fields


class _JsonLines(JsonFormatter):
    def __init__(self) -> None:
        reserved: Iterable[str] = {*RESERVED_ATTRS, *FRAMEWORK_ATTRIBUTES, "object_name"}
        super().__init__("%(message)s", reserved_attrs=sorted(reserved))

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        log_data |= {"time": _time(record), "level": record.levelname, "logger": record.name}
        super().add_fields(log_data, record, message_dict)
        log_data |= _object_fields(record)


class _Text(logging.Formatter):
    _standard = frozenset({*RESERVED_ATTRS, *FRAMEWORK_ATTRIBUTES, "object_name", "message", "asctime"})

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 - logging's name
        return _time(record)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        extra = {key: value for key, value in vars(record).items() if key not in self._standard}
        fields = "".join(f" {key}={value}" for key, value in (_object_fields(record) | extra).items())
        return super().formatMessage(record) + fields
