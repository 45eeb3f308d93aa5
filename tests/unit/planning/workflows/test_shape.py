"""The form of objects, checked without an API server: what a real one takes and refuses is taken and refused here."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.integration.test_crds import BROKEN_RULES, WHOLE, Json, Path_, constraint_cases, replaced

from mcp_orchestrator.api import crds
from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.workflows import shape

KINDS = {kind.name: kind for kind in crds.EVERY_KIND}


def check(whole: Json) -> dict[str, str]:
    """The mistakes of an object: messages by paths."""
    return {mistake.path: mistake.message for mistake in shape.check(KINDS[whole["kind"]], whole)}


@pytest.mark.parametrize("name", list(WHOLE))
def test_an_object_with_every_field_is_taken(name: str) -> None:
    assert check(WHOLE[name]) == {}


@pytest.mark.parametrize(("name", "path", "broken"), list(constraint_cases()))
def test_a_value_that_breaks_a_constraint_is_refused_by_its_path(name: str, path: Path_, broken: Any) -> None:
    where = mistakes.at("", *path).removeprefix(".")
    assert any(told.startswith(where) for told in check(replaced(WHOLE[name], path, broken)))


@pytest.mark.parametrize(("words", "broken"), BROKEN_RULES)
def test_an_object_that_breaks_a_rule_is_refused_in_its_words(words: str, broken: Json) -> None:
    assert any(words in message for message in check(broken).values())


@given(st.sampled_from(sorted(WHOLE)), st.text(max_size=12), st.none() | st.integers() | st.lists(st.text()))
def test_an_unknown_field_is_refused_by_its_path(name: str, field: str, value: Any) -> None:
    known = crds.root_schema(KINDS[WHOLE[name]["kind"]])["properties"]["spec"]["properties"]
    if field not in known:
        told = check({**WHOLE[name], "spec": {**WHOLE[name]["spec"], field: value}})
        assert list(told) == [mistakes.at("spec", field)]
        assert next(iter(told.values())).startswith("unknown field")
