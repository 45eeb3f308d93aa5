"""hack/test: which layers run, in which order, and what is said about those that can't."""

import pytest

from deploy import layers
from deploy.layers import Layer


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What would have been run; a command with the word `broken` fails."""
    called: list[str] = []

    def pass_through(argv: list[object], **_: object) -> int:
        called.append(" ".join(str(word).rpartition("/hack/")[2] for word in argv))
        return 3 if "broken" in called[-1] else 0

    monkeypatch.setattr(layers.commands, "pass_through", pass_through)
    return called


def test_arguments_go_to_pytest(commands: list[str]) -> None:
    assert layers.main(["unit", "-k", "heron", "-x"]) == 0
    assert commands == ["env", "env pytest tests/unit -k heron -x"]


def test_a_layer_that_fails_is_the_last(commands: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert layers.run([Layer("unit", ""), Layer("broken", ""), Layer("e2e", "")], []) == 3
    assert commands[1:] == ["env pytest tests/unit", "env pytest tests/broken"]
    told = capsys.readouterr()
    assert "✓ unit" in told.out
    assert "✗ broken: failed" in told.err


def test_a_layer_that_is_impossible_here_is_skipped_with_the_reason(
    commands: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert layers.run([Layer("e2e", "", obstacle=lambda: "needs root"), Layer("unit", "")], []) == 0
    assert commands[1:] == ["env pytest tests/unit"]
    told = capsys.readouterr().out
    assert "– e2e         skipped: needs root" in told
    assert "e2e skipped, unit 0.0s" in told


def test_without_what_a_layer_needs_its_tests_do_not_run(commands: list[str]) -> None:
    assert layers.run([Layer("integration", "", prepare=lambda: 7)], []) == 7
    assert commands == ["env"]
