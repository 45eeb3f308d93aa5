"""Settings from the environment."""

from __future__ import annotations

from datetime import UTC

import pytest

from mcp_orchestrator import settings
from mcp_orchestrator.settings import InvalidSetting, ObjectStore, Settings


def read(**variables: str) -> Settings:
    return settings.read({f"MCP_ORCHESTRATOR_{name}": value for name, value in variables.items()})


def test_an_empty_environment_gives_the_defaults() -> None:
    found = settings.read({})

    assert (found.mode, found.log_level, found.max_concurrent_workflows) == ("production", "INFO", 10)
    assert (found.timeout_seconds, found.workers, found.http_port) == (3600, 16, 8080)
    assert found.leader_elect
    assert found.watch_namespaces == ()


def test_an_empty_variable_counts_as_unset() -> None:
    assert read(MAX_CONCURRENT_WORKFLOWS="", MODE=" ") == read()


@pytest.mark.parametrize(
    ("variables", "field", "value"),
    [
        pytest.param({"MODE": "development"}, "mode", "development", id="mode"),
        pytest.param({"LOG_LEVEL": "debug"}, "log_level", "DEBUG", id="a choice in any case"),
        pytest.param({"MAX_CONCURRENT_WORKFLOWS": "0"}, "max_concurrent_workflows", 0, id="a limit of none"),
        pytest.param({"TIMEOUT": "90000"}, "timeout_seconds", 90, id="milliseconds become seconds"),
        pytest.param({"TIMEOUT": "1999"}, "timeout_seconds", 1, id="milliseconds are rounded down"),
        pytest.param({"IMAGE": "r/i:1"}, "image", "r/i:1", id="image"),
        pytest.param({"IMAGE_PULL_POLICY": "never"}, "image_pull_policy", "Never", id="pull policy"),
        pytest.param({"NAMESPACE": "mcp"}, "namespace", "mcp", id="namespace"),
        pytest.param({"WATCH_NAMESPACES": " a, b,,"}, "watch_namespaces", ("a", "b"), id="a list with blanks"),
        pytest.param({"WORKERS": "1"}, "workers", 1, id="workers"),
        pytest.param({"LEADER_ELECT": "False"}, "leader_elect", False, id="a truth"),
        pytest.param({"CACHE_SECRET": "cache"}, "cache_secret", "cache", id="cache"),
        pytest.param({"CACHE_MAX_ANSWERS": "0"}, "cache_max_answers", 0, id="cached answers"),
        pytest.param({"RECEIPT_DAYS": "1"}, "receipt_days", 1, id="days of receipts"),
        pytest.param({"MAX_RECEIPTS": "1"}, "max_receipts", 1, id="receipts"),
        pytest.param({"IDENTITY": "pod-1"}, "identity", "pod-1", id="identity"),
        pytest.param({"LEASE": "team-a"}, "lease", "team-a", id="lease"),
    ],
)
def test_a_variable_sets_its_field(variables: dict[str, str], field: str, value: object) -> None:
    assert getattr(read(**variables), field) == value


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        pytest.param("MODE", "test", "set it to one of production, development", id="mode"),
        pytest.param("LOG_LEVEL", "loud", "set it to one of DEBUG, INFO, WARNING, ERROR", id="level"),
        pytest.param("MAX_CONCURRENT_WORKFLOWS", "-1", "set it to a whole number of at least 0", id="negative"),
        pytest.param("MAX_CONCURRENT_WORKFLOWS", "many", "set it to a whole number of at least 0", id="no number"),
        pytest.param("TIMEOUT", "999", "set it to a whole number of at least 1000", id="less than a second"),
        pytest.param("TIMEOUT", "1e6", "set it to a whole number of at least 1000", id="a fraction"),
        pytest.param("WORKERS", "0", "set it to a whole number of at least 1", id="no workers"),
        pytest.param("RECEIPT_DAYS", "3651", "set it to a whole number from 1 to 3650", id="for ever"),
        pytest.param("LEADER_ELECT", "maybe", "set it to one of true, false", id="truth"),
        pytest.param("OBJECT_STORE_BUCKET", "s3://x", "set it to the name of a bucket", id="a bucket's URL"),
        pytest.param("OBJECT_STORE_PREFIX", "/a/", "set it to a path like a/b, of at most 63 characters", id="slashes"),
        pytest.param("OBJECT_STORE_ENDPOINT", "minio:9000", "set it to an http or https URL", id="no URL"),
        pytest.param("OBJECT_STORE_ENDPOINT", "http://me:pw@minio", "set it to an http or https URL", id="a password"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_with_the_variable_and_the_remedy(
    name: str, value: str, remedy: str
) -> None:
    with pytest.raises(InvalidSetting) as raised:
        read(**{"OBJECT_STORE_BUCKET": "results", name: value})

    assert str(raised.value) == f"MCP_ORCHESTRATOR_{name} is {value!r}: {remedy}"


def test_without_a_bucket_there_is_no_object_store() -> None:
    assert read(OBJECT_STORE_PREFIX="a", OBJECT_STORE_ENDPOINT="rubbish").object_store is None


@pytest.mark.parametrize(
    "store",
    [
        pytest.param(ObjectStore("results"), id="a bucket"),
        pytest.param(
            ObjectStore("my.bucket", "a/b", "http://minio.storage:9000", "eu-west-1", "bucket-keys", 10, 20),
            id="everything",
        ),
    ],
)
def test_the_runner_reads_the_object_store_just_as_the_operator_did(store: ObjectStore) -> None:
    assert read(**store.environment()).object_store == store


def test_the_clock_tells_utc() -> None:
    assert settings.clock().tzinfo is UTC
