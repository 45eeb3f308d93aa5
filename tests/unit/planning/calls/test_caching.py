"""Which answers may be taken again, and which calls are the same."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_spec, a_task

from mcp_orchestrator.api.cache import Cache, TaskCache
from mcp_orchestrator.api.resolved import ResolvedServer, ResolvedTool
from mcp_orchestrator.api.task import Task
from mcp_orchestrator.planning.calls import caching

SAFE = ResolvedServer(
    name="time",
    url="http://time",
    digest="sha256:s",
    tools_digest="sha256:t",
    tools=(ResolvedTool(name="read", repeatable=True), ResolvedTool(name="write", repeatable=False)),
)
SECRET = b"a key"
LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
ARGUMENTS = st.dictionaries(st.text(), VALUES, max_size=4)


def digest(arguments: dict[str, Any], **other: Any) -> str:
    known: dict[str, Any] = {"namespace": "default", "server": SAFE, "tool": "read", "secret": SECRET}
    return caching.digest(**known | other, arguments=arguments)


def shuffled(value: Any, chance: random.Random) -> Any:
    """The same value, its objects written in another order."""
    if isinstance(value, dict):
        pairs = [(key, shuffled(inner, chance)) for key, inner in value.items()]
        chance.shuffle(pairs)
        return dict(pairs)
    return [shuffled(inner, chance) for inner in value] if isinstance(value, list) else value


@given(ARGUMENTS, st.randoms(use_true_random=False))
def test_the_order_in_which_arguments_are_written_does_not_matter(
    arguments: dict[str, Any], chance: random.Random
) -> None:
    assert digest(arguments) == digest(shuffled(arguments, chance))


@given(ARGUMENTS, ARGUMENTS)
def test_different_arguments_are_different_calls(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest(one) == digest(other)) is same


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"namespace": "another"}, id="namespace"),
        pytest.param({"tool": "write"}, id="tool"),
        pytest.param({"server": SAFE.model_copy(update={"name": "clock"})}, id="another server"),
        pytest.param({"server": SAFE.model_copy(update={"url": "http://b"})}, id="another address"),
        pytest.param({"server": SAFE.model_copy(update={"digest": "sha256:2"})}, id="the server's spec changed"),
        pytest.param({"server": SAFE.model_copy(update={"tools_digest": "sha256:2"})}, id="its tools changed"),
        pytest.param({"secret": b"another key"}, id="another key"),
    ],
)
def test_what_else_makes_a_call_another(other: dict[str, Any]) -> None:
    assert digest({"x": 1}) != digest({"x": 1}, **other)


def test_how_a_server_is_retried_does_not_make_a_call_another() -> None:
    assert digest({}) == digest({}, server=SAFE.model_copy(update={"timeout_seconds": 5, "tools": ()}))


def test_a_digest_can_not_be_had_without_the_key() -> None:
    assert digest({"pin": "1234"}) not in {digest({"pin": "1234"}, secret=guess) for guess in (b"", b"a", b"key")}
    assert len(digest({})) == hashlib.sha256().digest_size * 2


@pytest.mark.parametrize(
    ("task", "seconds"),
    [
        pytest.param({}, 0, id="no cache"),
        pytest.param({"cache": TaskCache(ttl_seconds=60)}, 60, id="a tool that only reads"),
        pytest.param({"cache": TaskCache(ttl_seconds=0)}, 0, id="never"),
        pytest.param({"tool": "write", "cache": TaskCache(ttl_seconds=60)}, 0, id="a tool that writes"),
        pytest.param({"tool": "write", "cache": TaskCache(ttl_seconds=60, force=True)}, 60, id="forced"),
        pytest.param({"tool": "write", "idempotent": True, "cache": TaskCache(ttl_seconds=60)}, 60, id="idempotent"),
        pytest.param({"idempotent": False, "cache": TaskCache(ttl_seconds=60)}, 0, id="not idempotent after all"),
    ],
)
def test_only_answers_of_harmless_tools_are_taken_again_unless_forced(task: dict[str, Any], seconds: int) -> None:
    assert caching.ttl_seconds(a_task(**{"tool": "read", **task}), SAFE) == seconds


def test_a_workflows_cache_is_the_default_of_its_tasks_that_call_tools() -> None:
    own = TaskCache(ttl_seconds=0)
    workflow = a_spec(
        a_task("silent"),
        a_task("own", cache=own),
        Task(name="nested", template={"name": "w"}),
        finally_=(a_task("last"),),
        cache=Cache(ttl_seconds=9),
    )
    told = caching.with_default(workflow)
    default = TaskCache(ttl_seconds=9)
    assert [task.cache for task in told.every_task] == [default, own, None, default]
    assert not any(task.cache and task.cache.force for task in told.every_task)


def test_a_workflow_without_a_cache_is_left_as_it_is() -> None:
    assert caching.with_default(workflow := a_spec()) is workflow
