"""A runner caches answers in its own namespace, under digests, and does nothing else with the objects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.integration.chart.place import Place, an_object, grant, in_pod, refusal, rule, runner, until

from mcp_orchestrator.api.base import GROUP
from mcp_orchestrator.cluster.config import Connection
from mcp_orchestrator.runner.cache import clusterstore
from mcp_orchestrator.runner.cache.clusterstore import ClusterStore

NAME = "0" * 64
OWN = "in its own namespace only"
SPEC_ONLY = "a CachedAnswer's spec only"
DIGEST = "64 hexadecimal digits"


def an_answer(name: str = NAME, answer: str = "H4sIAAAA", **metadata: Any) -> dict[str, Any]:
    body = an_object("CachedAnswer", name, spec={"until": "2036-01-01T00:00:00Z", "caller": "one", "answer": answer})
    body["metadata"].update(metadata)
    return body


@pytest.fixture(scope="module", autouse=True)
def rights(run: Place) -> None:
    """Rights also for the runners of another namespace: what refuses is the policy then."""
    grant(run, runner("elsewhere"), "foreign-answers", rule("cachedanswers", "get", "create", "patch", group=GROUP))
    until(lambda: OWN in refusal(run, an_answer(), runner("elsewhere"), *in_pod()))


async def test_a_runner_can_do_with_its_rights_all_that_its_store_does(run: Place, connection: Connection) -> None:
    async with clusterstore.client(replace(connection, headers={"Impersonate-User": runner(run.namespace)})) as client:
        one, other = (ClusterStore(client, run.namespace, name) for name in ("one", "other"))
        unlock = await one.lock("1" * 64, 600)
        assert unlock
        assert await other.lock("1" * 64, 600) is None
        await unlock()
        assert await other.lock("1" * 64, 600)
        for key in ("1" * 64, "2" * 64):
            await other.put(key, b"answer", 600)
            assert await one.get(key) == b"answer"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(an_answer("settings"), DIGEST, id="any-name"),
        pytest.param(an_answer("f" * 63), DIGEST, id="a-short-name"),
        pytest.param(an_answer(answer="A" * (349528 + 1)), "Too long", id="a-large-answer"),
        pytest.param(an_answer(finalizers=["example.com/mine"]), SPEC_ONLY, id="a-finalizer"),
        pytest.param(an_answer(labels={"a": "b"}), SPEC_ONLY, id="a-label"),
        pytest.param(an_answer(annotations={"a": "b" * 200_000}), SPEC_ONLY, id="an-annotation"),
        pytest.param(
            an_answer(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]), SPEC_ONLY,
            id="an-owner",
        ),
    ],
)  # fmt: skip
def test_a_runner_makes_nothing_else(run: Place, body: dict[str, Any], words: str) -> None:
    assert words in refusal(run, body, runner(run.namespace), *in_pod())


def test_a_runner_can_go_on_with_what_others_have_labelled_and_leaves_the_label_alone(run: Place) -> None:
    name, who = "3" * 64, f"--as={runner(run.namespace)}"
    run.make(an_answer(name, labels={"kept": "yes"}))
    assert "serverside-applied" in run.apply(an_answer(name), who)
    assert SPEC_ONLY in run.kubectl("label", "mans", name, "kept-", who)
    assert SPEC_ONLY in run.kubectl("label", "mans", name, "kept=no", "--overwrite", who)


@pytest.mark.parametrize("verb", ["list", "watch", "update", "delete", "deletecollection"])
def test_a_runner_neither_lists_nor_deletes_them(run: Place, verb: str) -> None:
    who = f"--as={runner(run.namespace)}"
    assert run.kubectl("auth", "can-i", verb, "cachedanswers.mcp-orchestrator.io", who).strip() == "no"
