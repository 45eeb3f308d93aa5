"""Tables, on a terminal and for programs."""

from __future__ import annotations

import io

import pytest

from mcp_orchestrator.client.terminal import Terminal

ROWS = [("RUN", "MESSAGE"), ("field-notes", "waits for a slot")]


@pytest.mark.parametrize(
    ("columns", "second"),
    [
        pytest.param(0, "field-notes  waits for a slot", id="a program reads all"),
        pytest.param(29, "field-notes  waits for a slot", id="a terminal with room"),
        pytest.param(28, "field-notes  waits for a sl…", id="a narrow terminal"),
    ],
)
def test_the_cells_of_a_table_stand_below_each_other_and_the_last_ends_where_the_terminal_does(
    columns: int, second: str
) -> None:
    told = ["  ".join(cells) for cells in Terminal(io.StringIO(), columns=columns).aligned(ROWS)]

    assert told == ["RUN          MESSAGE", second]
