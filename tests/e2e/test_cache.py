"""The cache of an installation that has no Redis: it is there, and stands in the cluster."""

from __future__ import annotations

from typing import Any

from tests.e2e.space import Space
from tests.objects import a_run, a_server, a_task


def the_task(space: Space, run: str) -> dict[str, Any]:
    """The only task of a run that must succeed."""
    (found,) = space.succeed(run)["status"]["tasks"]
    return dict(found)


def test_a_run_takes_the_answer_of_an_earlier_one_without_a_call(space: Space) -> None:
    space.apply(a_server())
    space.wait("msrv/time", "Ready")
    workflow = {"cache": {"ttlSeconds": 3600}, "tasks": [a_task(idempotent=True)]}
    space.apply(a_run("first", template=workflow))
    first = the_task(space, "first")
    space.apply(a_run("second", template=workflow))
    second = the_task(space, "second")
    assert (first["cache"], first["attempts"]) == ("Miss", 1)
    assert (second["cache"], second.get("attempts")) == ("Hit", None)
    # What it says is the time, to the second.
    assert second["result"] == first["result"]
    (answer,) = space.list("mans")
    assert answer["spec"]["caller"] == "first"
    assert "UNTIL" in space.kubectl("get", "mans")
