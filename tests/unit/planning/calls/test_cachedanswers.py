"""What a CachedAnswer stands for at a moment, and which ones the operator deletes."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import NOW

from mcp_orchestrator.api import reading
from mcp_orchestrator.api.base import ObjectMeta
from mcp_orchestrator.api.cachedanswer import MOST_BYTES, CachedAnswer, CachedAnswerSpec
from mcp_orchestrator.api.reading import Unreadable
from mcp_orchestrator.planning.calls import cachedanswers
from mcp_orchestrator.planning.calls.cachedanswers import LONGEST, Found
from mcp_orchestrator.planning.expiry import Kept

SECOND = timedelta(seconds=1)


def an_answer(spec: CachedAnswerSpec) -> CachedAnswer:
    return CachedAnswer(metadata=ObjectMeta(name="0" * 64), spec=spec)


@pytest.mark.parametrize(
    ("spec", "passed_seconds", "data", "awaited"),
    [
        pytest.param(cachedanswers.calling("r/1", 30, NOW), 0, None, True, id="a call has begun"),
        pytest.param(cachedanswers.calling("r/1", 30, NOW), 29.9, None, True, id="a call takes its time"),
        pytest.param(cachedanswers.calling("r/1", 30, NOW), 30, None, False, id="a caller was lost"),
        pytest.param(cachedanswers.answered("r", b"x", 60, NOW), 0, b"x", False, id="an answer is new"),
        pytest.param(cachedanswers.answered("r", b"x", 60, NOW), 59.9, b"x", False, id="an answer stands"),
        pytest.param(cachedanswers.answered("r", b"x", 60, NOW), 60, None, False, id="an answer is over"),
        pytest.param(cachedanswers.given_up("r"), 0, None, False, id="a call has failed"),
        pytest.param(cachedanswers.given_up("r"), -3600, None, False, id="a call has failed by another clock"),
        pytest.param(cachedanswers.answered("r", b"x", 60, NOW + 2 * LONGEST), 0, None, False, id="an end too far off"),
        pytest.param(CachedAnswerSpec(until=NOW + SECOND, answer="?"), 0, None, False, id="no base64"),
    ],
)
def test_an_answer_is_there_or_awaited_or_neither(
    spec: CachedAnswerSpec, passed_seconds: float, data: bytes | None, awaited: bool
) -> None:
    now = NOW + timedelta(seconds=passed_seconds)
    assert cachedanswers.answer(an_answer(spec), now) == data
    assert cachedanswers.is_awaited(an_answer(spec), now) == awaited


@pytest.mark.parametrize("found", [None, Unreadable(ObjectMeta(name="0" * 64), "spec.until: no date")])
def test_what_is_not_there_or_can_not_be_read_is_neither(found: Found) -> None:
    assert cachedanswers.answer(found, NOW) is None
    assert not cachedanswers.is_awaited(found, NOW)


@given(st.binary(min_size=1, max_size=2048))
def test_an_answer_comes_back_from_the_api_server_as_it_was(data: bytes) -> None:
    written = an_answer(cachedanswers.answered("r", data, 60, NOW)).wire()
    read = reading.read(CachedAnswer, written)
    assert not isinstance(read, Unreadable)
    assert cachedanswers.answer(read, NOW) == data


def test_the_largest_answer_fits() -> None:
    assert cachedanswers.answer(an_answer(cachedanswers.answered("r", bytes(MOST_BYTES), 60, NOW)), NOW)


moments = st.integers(-5, 5).map(lambda seconds: NOW + seconds * SECOND)
many = st.lists(
    st.builds(
        Kept,
        namespace=st.sampled_from("ab"),
        name=st.uuids().map(str),
        version=st.just("1"),
        created=moments,
        until=st.none() | moments,
    ),
    max_size=20,
)


def stands(one: Kept, now: datetime) -> bool:
    return one.until is not None and not cachedanswers.is_over(one.until, now)


@given(many, st.integers(0, 5))
def test_all_that_is_over_goes_and_the_oldest_beyond_the_bound_and_nothing_else(kept: list[Kept], most: int) -> None:
    going = cachedanswers.to_delete(kept, most, NOW)
    assert len(going) == len(set(going))
    assert set(going) <= set(kept)
    assert all(one in going for one in kept if not stands(one, NOW))
    for namespace in "ab":
        own = [one for one in kept if one.namespace == namespace and stands(one, NOW)]
        left = [one for one in own if one not in going]
        assert len(left) == min(most, len(own))
        gone = [one.created for one in own if one in going]
        assert not gone or not left or max(gone) <= min(one.created for one in left)
