"""Cron expressions in time zones: which moments they mean, and what is wrong with one."""

from __future__ import annotations

import contextlib
import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.planning.templates.cron import MACROS, Cron, NoSuchZone, NotACron

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def ticks(expression: str, zone: str, begin: str, end: str) -> list[str]:
    """The ticks between two moments, as the zone's clocks show them, with their distance from UTC."""
    found = Cron(expression, zone).between(at(begin), at(end))
    return [f"{tick.astimezone(ZoneInfo(zone)):%d %H:%M%z}"[:-2] for tick in found]


@pytest.mark.parametrize(
    ("expression", "begin", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:30Z", "2026-01-01T00:01Z"),
        ("30 6 * * MON-FRI", "2026-01-02T06:30Z", "2026-01-05T06:30Z"),
        ("*/20 8-10 * * *", "2026-01-01T10:40Z", "2026-01-02T08:00Z"),
        ("0 0 29 2 *", "2026-01-01T00:00Z", "2028-02-29T00:00Z"),
        ("0 12 13 * FRI", "2026-01-01T00:00Z", "2026-01-02T12:00Z"),
        ("0 12 L * *", "2026-02-01T00:00Z", "2026-02-28T12:00Z"),
        ("0 0 * * 7", "2026-01-01T00:00Z", "2026-01-04T00:00Z"),
        ("0 0 * * MON#2", "2026-01-01T00:00Z", "2026-01-12T00:00Z"),
        ("@hourly", "2026-01-01T00:00Z", "2026-01-01T01:00Z"),
        ("@daily", "2026-01-01T00:00Z", "2026-01-02T00:00Z"),
        ("@midnight", "2026-01-01T00:00Z", "2026-01-02T00:00Z"),
        ("@weekly", "2026-01-01T00:00Z", "2026-01-04T00:00Z"),
        ("@monthly", "2026-01-01T00:00Z", "2026-02-01T00:00Z"),
        ("@yearly", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
        ("@annually", "2026-01-01T00:00Z", "2027-01-01T00:00Z"),
    ],
)
def test_the_next_tick_is_the_one_after_a_moment(expression: str, begin: str, expected: str) -> None:
    assert Cron(expression).after(at(begin)) == at(expected)


SPRING = ("2026-03-28T12:00Z", "2026-03-29T20:00Z")
AUTUMN = ("2026-10-24T12:00Z", "2026-10-26T00:00Z")


@pytest.mark.parametrize(
    ("expression", "zone", "span", "expected"),
    [
        pytest.param("30 2 * * *", BERLIN, SPRING, ["29 03:00+02"], id="an-hour-that-is-left-out-comes-at-its-end"),
        pytest.param("0,30 2 * * *", BERLIN, SPRING, ["29 03:00+02"], id="and-once-however-often-it-was-meant"),
        pytest.param("30 2,3 * * *", BERLIN, SPRING, ["29 03:00+02", "29 03:30+02"], id="with-a-time-after-it"),
        pytest.param("30 2 * * *", BERLIN, AUTUMN, ["25 02:30+02"], id="an-hour-that-comes-twice-counts-once"),
        pytest.param(
            "30 * 25 10 *", BERLIN, ("2026-10-24T23:00Z", "2026-10-25T02:00Z"),
            ["25 01:30+02", "25 02:30+02", "25 02:30+01"], id="but-every-hour-means-both-of-them",
        ),
        pytest.param(
            "30 * 29 3 *", BERLIN, ("2026-03-28T23:30Z", "2026-03-29T02:00Z"),
            ["29 01:30+01", "29 03:30+02"], id="every-hour-has-no-hour-that-is-left-out",
        ),
        pytest.param(
            "0 0 * * *", "Africa/Cairo", ("2026-04-22T23:00Z", "2026-04-24T23:00Z"),
            ["24 01:00+03", "25 00:00+03"], id="a-midnight-that-is-left-out",
        ),
        pytest.param(
            "15 9 * * *", "Asia/Kathmandu", ("2026-01-01T00:00Z", "2026-01-01T23:00Z"), ["01 09:15+05"], id="odd-offset"
        ),
    ],
)  # fmt: skip
def test_a_change_of_the_clocks_neither_drops_nor_doubles_a_tick(
    expression: str, zone: str, span: tuple[str, str], expected: list[str]
) -> None:
    assert ticks(expression, zone, *span) == expected


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("61 * * * *", "its minute is wrong; it must be 0 to 59"),
        ("0 24 * * *", "its hour is wrong"),
        ("0 0 32 * *", "its day-of-month is wrong"),
        ("0 0 0 * *", "its day-of-month is wrong"),
        ("0 0 * 13 *", "its month is wrong; it must be 1 to 12, or JAN to DEC"),
        ("0 0 * * MONDAY", "its day-of-week is wrong"),
        ("*/0 * * * *", "its minute is wrong"),
        ("5-1 * * * *", "its minute is wrong"),
        ("0 0 30 2 *", '"0 0 30 2 *" never comes'),
        ("0 0 31 4,6 *", "never comes"),
        ("0 0 */29 2 MON#5", "never comes"),
        ("0 * * * * *", "has 6 fields, and must have 5: write minute"),
        ("", "has 0 fields"),
        ("every day", "has 2 fields"),
        ("@reboot", '"@reboot" is unknown; there are @yearly'),
        ("@every 5m", "is unknown"),
        ("CRON_TZ=Asia/Tokyo 0 0 * * *", "set timeZone"),
        ("TZ=UTC 0 0 * * *", "set timeZone"),
    ],
)
def test_what_is_no_expression_is_told_with_the_remedy(expression: str, words: str) -> None:
    with pytest.raises(NotACron) as refusal:
        Cron(expression)
    assert words in str(refusal.value)


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Europe/Berln", '"Europe/Berln" is no time zone; did you mean "Europe/Berlin"?'),
        ("MEZ!", "use a name like Europe/Berlin"),
        ("../../etc/passwd", "is no time zone"),
        ("Europe", "is no time zone"),
        ("local", "is no time zone"),
    ],
)
def test_what_is_no_zone_is_told_with_the_remedy(zone: str, words: str) -> None:
    with pytest.raises(NoSuchZone) as refusal:
        Cron("@daily", zone)
    assert words in str(refusal.value)


@given(st.text(alphabet="0123456789*/,-#LWMONFEB@ ²", max_size=24))
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    with contextlib.suppress(NotACron):
        assert Cron(text).after(at("2026-01-01T00:00Z"))


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    steps = st.integers(1, 20).map(lambda step: f"*/{step}")
    lists = st.lists(number, min_size=1, max_size=3).map(lambda some: ",".join(map(str, some)))
    return st.just("*") | steps | lists


EXPRESSIONS = st.builds(
    lambda *words: " ".join(words), fields(0, 59), fields(0, 23), fields(1, 28), st.just("*"), st.just("*")
) | st.sampled_from([*MACROS])
ZONES = st.sampled_from(["UTC", BERLIN, "America/New_York", "Africa/Cairo", "Australia/Lord_Howe", "Asia/Kolkata"])
MOMENTS = st.integers(0, 5 * 366 * 86_400).map(lambda seconds: at("2025-01-01T00:00Z") + timedelta(seconds=seconds))


@given(EXPRESSIONS, ZONES, MOMENTS)
def test_ticks_come_in_order_on_whole_minutes_and_from_wherever_one_looks(
    expression: str, zone: str, begin: datetime
) -> None:
    cron = Cron(expression, zone)
    some = list(itertools.islice(cron.between(begin, begin + timedelta(days=4000)), 5))
    assert some == sorted(set(some))
    assert some[0] > begin
    for tick in some:
        assert (tick.second, tick.microsecond) == (0, 0)
        assert cron.is_tick(tick)
        assert not cron.is_tick(tick + timedelta(seconds=1))
    for earlier, later in itertools.pairwise(some):
        assert cron.after(earlier) == later


@given(EXPRESSIONS, ZONES, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=40)))
def test_the_newest_tick_is_the_last_of_all(expression: str, zone: str, begin: datetime, span: timedelta) -> None:
    cron = Cron(expression, zone)
    first = cron.after(begin)
    now = first + span
    assert cron.newest(first, now) == max(cron.between(first - timedelta(seconds=1), now))
