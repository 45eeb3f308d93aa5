"""Cron expressions in time zones: the moments that they mean. Used by `schedules`.

What a change to or from summer time means, cronsim decides as Debian's cron does.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from importlib import resources
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from mcp_orchestrator.planning import mistakes

MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = {
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, or L for the last",
    "month": "1 to 12, or JAN to DEC",
    "day-of-week": "0 to 7, or SUN to SAT",
}
MONTH = 3
"""Its place among the fields."""
SHAPE = 'write minute, hour, day of the month, month and day of the week, as in "30 6 * * MON-FRI", or @daily'
WINDOWS = (timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))
"""How far back the newest tick is looked for, step by step: so that many ticks are never counted to find the last."""
_TICK = timedelta(seconds=1)


class NotACron(ValueError):
    """The expression means no moments; the message says why, and the remedy."""


class NoSuchZone(ValueError):
    """There is no time zone of that name; the message says so, and the remedy."""


@functools.cache
def zones() -> frozenset[str]:
    """The names of all time zones."""
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


class Cron:
    """An expression in a zone. Raises NotACron and NoSuchZone."""

    def __init__(self, expression: str, zone: str = "UTC") -> None:
        if zone not in zones():
            hint = mistakes.suggestion(zone, zones()) or "; use a name like Europe/Berlin, or leave it out for UTC"
            raise NoSuchZone(f'"{zone}" is no time zone{hint}')
        self._zone = UTC if zone == "UTC" else ZoneInfo(zone)
        self._expression = _five_fields(expression)
        try:
            next(self._from(datetime(2000, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise NotACron(self._in_words(expression, str(error))) from None
        except StopIteration:
            raise NotACron(_never(expression)) from None

    def after(self, moment: datetime) -> datetime:
        """The first tick after that moment."""
        return next(self._from(moment))

    def is_tick(self, moment: datetime) -> bool:
        """Whether the moment is one that is meant."""
        return self.after(moment - _TICK) == moment

    def newest(self, first: datetime, now: datetime) -> datetime:
        """The newest tick up to now; `first` is one."""
        for window in WINDOWS:
            if now - window > first and (ticks := list(self.between(now - window, now))):
                return ticks[-1]
        return max(self.between(first - _TICK, now), default=first)

    def between(self, begin: datetime, end: datetime) -> Iterator[datetime]:
        """The ticks after `begin`, up to `end`."""
        return itertools.takewhile(lambda tick: tick <= end, self._from(begin))

    def _from(self, moment: datetime) -> Iterator[datetime]:
        """The ticks after that moment, in order. Around a change of the clocks the library may tell one twice."""
        latest = moment
        for found in CronSim(self._expression, moment.astimezone(self._zone)):
            tick = found.astimezone(UTC)
            if tick > latest:
                latest = tick
                yield tick

    def _in_words(self, expression: str, fault: str) -> str:
        """The library's words are `Bad day-of-month`, also for a day that no month of the expression has."""
        field = fault.removeprefix("Bad ")
        in_any_month = self._expression.split()
        in_any_month[MONTH] = "*"
        try:
            if field == "day-of-month" and CronSim(" ".join(in_any_month), datetime(2000, 1, 1, tzinfo=UTC)):
                return _never(expression)
        except CronSimError:
            pass
        return f'"{expression}" is no cron expression: its {field} is wrong; it must be {FIELDS[field]}: {SHAPE}'


def _five_fields(expression: str) -> str:
    words = expression.split()
    if expression.startswith("@"):
        if expression not in MACROS:
            raise NotACron(f'"{expression}" is unknown; there are {", ".join(MACROS)}')
        return MACROS[expression]
    if "TZ=" in expression:
        raise NotACron("a time zone does not stand in cron: set timeZone")
    if len(words) != len(FIELDS):
        raise NotACron(f'"{expression}" has {len(words)} fields, and must have {len(FIELDS)}: {SHAPE}')
    return expression


def _never(expression: str) -> str:
    return f'"{expression}" never comes, since no month that it names has such a day: choose another day or month'
