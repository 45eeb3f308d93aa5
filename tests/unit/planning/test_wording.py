"""Words of others, made fit to be shown."""

from __future__ import annotations

import pytest

from mcp_orchestrator.planning import wording


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(OSError(-2, "Name or service not known"), "Name or service not known", id="a number"),
        pytest.param(ValueError("the name x: [Errno -2] not known"), "the name x: not known", id="one inside"),
        pytest.param(ValueError("two\nlines"), "two lines", id="lines"),
        pytest.param(ValueError(), "ValueError", id="no words"),
    ],
)
def test_an_error_is_told_on_one_line_without_numbers_of_the_operating_system(error: Exception, told: str) -> None:
    assert wording.of_error(error) == told
