"""How mistakes quote what they are about."""

from __future__ import annotations

import pytest

from mcp_orchestrator.planning import mistakes


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a", '"a"'),
        ({"a": [1, None, True]}, '{"a":[1,null,true]}'),
        pytest.param(-(2**63) - 1, "-9223372036854775809", id="a number that no machine word holds"),
        pytest.param("x" * 1000, '"' + "x" * (mistakes.MAX_QUOTED - 2) + "…", id="a long text"),
    ],
)
def test_a_value_is_quoted_as_json_and_cut_where_it_is_long(value: object, expected: str) -> None:
    assert mistakes.quoted(value) == expected
