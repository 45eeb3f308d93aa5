"""Who makes WorkflowRuns names in them the Secrets and ConfigMaps that he may read, and no others."""

from __future__ import annotations

import pytest
from tests.integration.chart.place import Place, a_run, grant, refusal, rule, until

from mcp_orchestrator.api.base import GROUP, OPERATOR_MANAGER

EIGHT = (*(f"secrets/s{n}" for n in range(4)), *(f"configmaps/s{n}" for n in range(4)))


@pytest.mark.parametrize(
    "sources",
    [
        pytest.param((), id="none"),
        pytest.param(("secrets/mine",), id="a-secret"),
        pytest.param(("configmaps/mine",), id="a-configmap"),
        pytest.param(("secrets/mine", "configmaps/mine") * 5, id="two-five-times"),
        pytest.param(EIGHT, id="eight"),
    ],
)
def test_an_author_may_name_sources_that_he_may_read(place: Place, sources: tuple[str, ...]) -> None:
    assert refusal(place, a_run(*sources)) == ""


@pytest.mark.parametrize("theirs", ["secrets/theirs", "configmaps/theirs"])
@pytest.mark.parametrize("before", range(8))
def test_an_author_may_not_name_what_he_may_not_read_wherever_it_stands(place: Place, before: int, theirs: str) -> None:
    assert f"you may not read {theirs}, so a WorkflowRun" in refusal(place, a_run(*EIGHT[:before], theirs))


def test_an_author_may_not_name_more_than_can_be_asked_for(place: Place) -> None:
    assert "more than 8 Secrets and ConfigMaps" in refusal(place, a_run(*EIGHT, "secrets/s4"))


@pytest.mark.parametrize(
    ("user", "readable", "words"),
    [
        pytest.param("carol", ("secrets", "configmaps"), "", id="both"),
        pytest.param("dave", ("secrets",), "more than 8", id="secrets-only"),
        pytest.param("erin", ("configmaps",), "more than 8", id="configmaps-only"),
    ],
)
def test_who_may_read_all_of_the_namespace_may_name_as_many_as_fit(
    place: Place, user: str, readable: tuple[str, ...], words: str
) -> None:
    rights = (rule(resource, "get") for resource in readable)
    grant(place, user, user, rule("workflowruns", "create", group=GROUP), *rights)
    until(lambda: refusal(place, a_run(f"{readable[-1]}/any"), user) == "")
    said = refusal(place, a_run(*(f"{kind}s/s{n}" for n in range(32) for kind in ("secret", "configmap"))), user)
    assert words in said
    assert bool(said) == bool(words)


def test_a_run_with_a_foreign_secret_can_be_labelled_and_goes_on(place: Place) -> None:
    """The right was asked for when the run was made: who labels it later, or reports on it, need not have it."""
    place.make(a_run("secrets/theirs", name="boss"))
    labels = '{"metadata": {"labels": {"a": "b"}}}'
    assert "patched" in place.kubectl("patch", "workflowrun", "boss", "--type=merge", "--as=alice", "-p", labels)
    said = place.write_status("boss", {"phase": "Queued"}, place.operator, manager=OPERATOR_MANAGER)
    assert "serverside-applied" in said
