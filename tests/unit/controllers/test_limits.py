"""The limits file: what it may say, and what the operator does with it."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from tests.waiting import eventually

from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.controllers import limits
from mcp_orchestrator.settings import InvalidSetting, Settings


def settings(path: Path | None = None) -> Settings:
    return Settings(max_concurrent_workflows=7, limits_file=str(path or ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Limits(max_concurrent_runs=7)),
        ("{}", Limits(max_concurrent_runs=7)),
        ("maxConcurrentRuns: 0", Limits(max_concurrent_runs=0)),
        (
            "maxConcurrentRunsPerNamespace: 3\nnamespaces: {team-a: 1}\nagingSeconds: 60",
            Limits(
                max_concurrent_runs=7,
                max_concurrent_runs_per_namespace=3,
                namespaces={"team-a": 1},
                aging_seconds=60,
            ),
        ),
    ],
)
def test_the_file_says_what_the_settings_do_not(tmp_path: Path, text: str, expected: Limits) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)

    assert limits.load(settings(path)) == expected


def test_without_a_file_the_settings_count() -> None:
    assert limits.load(settings()) == Limits(max_concurrent_runs=7)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("maxConcurrentRuns: -1", "maxConcurrentRuns is -1"),
        ("maxConcurrentRuns: 1000000", "maxConcurrentRuns is 1000000"),
        ("maxConcurrentRuns: many", "maxConcurrentRuns is 'many'"),
        ("namespaces: {team-a: -1}", "namespaces.team-a is -1"),
        ("maxConcurentRuns: 1", "maxConcurentRuns is 1"),
        ("agingSeconds: -5", "agingSeconds is -5"),
        ("[1]", "the file is \\[1\\]"),
        ("a: [", "can't be read"),
    ],
)
def test_a_file_that_makes_no_sense_is_refused_with_the_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(text)

    with pytest.raises(InvalidSetting, match=words):
        limits.load(settings(path))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match="LIMITS_FILE"):
        limits.load(settings(tmp_path / "none.yaml"))


async def test_a_change_of_the_file_is_told_and_a_mistake_in_it_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(limits, "LOOK_SECONDS", 0.001)
    path = tmp_path / "limits.yaml"
    replace(path, "maxConcurrentRuns: 1")
    told: asyncio.Queue[Limits] = asyncio.Queue()
    following = asyncio.create_task(limits.follow(settings(path), limits.load(settings(path)), told.put_nowait))

    async def complained() -> bool:
        return bool(caplog.records)

    replace(path, "maxConcurrentRuns: 2")
    assert await told.get() == Limits(max_concurrent_runs=2)
    with caplog.at_level(logging.ERROR):
        replace(path, "maxConcurrentRuns: x")
        await eventually("a word about the mistake", complained)
    replace(path, "maxConcurrentRuns: 3")
    assert await told.get() == Limits(max_concurrent_runs=3)

    assert [record.message.partition(":")[0] for record in caplog.records] == ["the limits stay as they are"]
    following.cancel()


def replace(path: Path, text: str) -> None:
    """Put another file in its place in one step, as the kubelet does."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)
