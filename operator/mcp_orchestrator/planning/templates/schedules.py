"""plan_schedules: which runs a template's schedules start now, and when the next ones are due.

Called by controllers.templates. What was done stands in status.schedules, and a run's name follows from its time: so a
restart, another leader or a clock that goes back makes no second run.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mcp_orchestrator.api.base import API_VERSION, GROUP
from mcp_orchestrator.api.scheduling import Schedule, ScheduleStatus
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason, WorkflowTemplate, WorkflowTemplateSpec
from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.children import manifests
from mcp_orchestrator.planning.children.runjob import SCHEDULE_LABEL
from mcp_orchestrator.planning.plan import Event, EventType, Manifest
from mcp_orchestrator.planning.templates.cron import Cron, NoSuchZone, NotACron
from mcp_orchestrator.planning.workflows import parameters

LOOK_AGAIN = timedelta(minutes=1)
"""The longest wait: a clock may be set forward meanwhile."""
SKEW = timedelta(hours=1)
"""So far a clock may go back without a time coming twice; beyond, the names of the runs see to it."""
COUNTED = 100
"""So many missed times are counted, and no more."""
TIME_ANNOTATION = f"{GROUP}/scheduled-time"
"""On a run that a schedule started: the time that it was started for, in RFC 3339."""
_cron = functools.lru_cache(maxsize=1024)(Cron)


@dataclass(frozen=True, slots=True)
class Start:
    """A run that is due. `otherwise` is the schedule's status if the run can't be made."""

    run: Manifest
    schedule: str
    otherwise: ScheduleStatus


@dataclass(frozen=True, slots=True)
class SchedulePlan:
    """What is to be done for the schedules of one template."""

    starts: tuple[Start, ...] = ()
    status: tuple[ScheduleStatus, ...] = ()
    """To be written once the runs are there."""
    events: tuple[Event, ...] = ()
    wake_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class _Due:
    """What one schedule comes to."""

    status: ScheduleStatus
    start: Start | None = None
    event: Event | None = None


def check(spec: WorkflowTemplateSpec, path: str = "spec.schedules") -> tuple[Mistake, ...]:
    """What is wrong with the schedules."""
    return tuple(
        mistake
        for index, schedule in enumerate(spec.schedules)
        for mistake in _check(schedule, spec, mistakes.at(path, index))
    )


def plan_schedules(template: WorkflowTemplate, now: datetime) -> SchedulePlan:
    """The plan for all schedules of the template. One with a mistake starts nothing."""
    if template.metadata.deletion_timestamp:
        return SchedulePlan()
    due = [_look(template, schedule, now) for schedule in template.spec.schedules]
    times = [one.status.next_schedule_time for one in due if one.status.next_schedule_time]
    return SchedulePlan(
        starts=tuple(one.start for one in due if one.start),
        status=tuple(one.status for one in due),
        events=tuple(one.event for one in due if one.event),
        wake_at=min(*times, now + LOOK_AGAIN) if times else None,
    )


def not_started(start: Start, why: str) -> Event:
    """Tells that the run of a schedule could not be made; it is not tried again."""
    time = start.run["metadata"]["annotations"][TIME_ANNOTATION]
    note = f"the run of schedule {start.schedule} for {time} was refused: {why}"
    return Event("ScheduleRefused", note[:1024], EventType.WARNING, "Schedule")


def run_name(template: str, schedule: str, time: datetime) -> str:
    """The name of the run for that time, at most 63 characters; the hash tells apart what reads the same."""
    digest = hashlib.sha256(f"{template}/{schedule}/{time.isoformat()}".encode()).hexdigest()[:6]
    stem = f"{template}-{schedule}"[:43].rstrip("-.").replace(".", "-")
    return f"{stem}-{time:%Y%m%d%H%M}-{digest}"


def _check(schedule: Schedule, spec: WorkflowTemplateSpec, path: str) -> Iterator[Mistake]:
    try:
        _cron(schedule.cron, schedule.time_zone or "UTC")
    except NotACron as error:
        yield mistakes.a_mistake(mistakes.at(path, "cron"), TemplateReason.INVALID_SCHEDULE, str(error))
    except NoSuchZone as error:
        yield mistakes.a_mistake(mistakes.at(path, "timeZone"), TemplateReason.INVALID_SCHEDULE, str(error))
    yield from parameters.resolve(spec.parameters, schedule.parameters, mistakes.at(path, "parameters")).mistakes


def _look(template: WorkflowTemplate, schedule: Schedule, now: datetime) -> _Due:
    known = next((one for one in template.status.schedules if one.name == schedule.name), None)
    last, due = (known.last_schedule_time, known.next_schedule_time) if known else (None, None)
    if schedule.suspend or any(_check(schedule, template.spec, "")):
        return _Due(_status(schedule, last, None))
    cron = _cron(schedule.cron, schedule.time_zone or "UTC")
    # Without the last time, a clock that is set back by a little would bring it again.
    begin = last if last and now < last <= now + SKEW else now
    coming = cron.after(begin)
    if due is None or due > now or not cron.is_tick(due):
        return _Due(_status(schedule, last, coming))
    newest = cron.newest(due, now)
    missed = len(list(itertools.islice(cron.between(due - timedelta(seconds=1), newest), COUNTED + 2))) - 1
    deadline = schedule.starting_deadline_seconds
    if deadline is not None and now - newest > timedelta(seconds=deadline):
        return _Due(_status(schedule, last, coming), event=_missed(schedule, missed + 1, newest))
    start = Start(_run(template, schedule, newest), schedule.name, _status(schedule, last, coming))
    return _Due(_status(schedule, newest, coming), start, _missed(schedule, missed, newest) if missed else None)


def _status(schedule: Schedule, last: datetime | None, coming: datetime | None) -> ScheduleStatus:
    times = {"last_schedule_time": last, "next_schedule_time": coming}
    return ScheduleStatus(name=schedule.name, **{name: time for name, time in times.items() if time})


def _missed(schedule: Schedule, count: int, newest: datetime) -> Event:
    times = f"{count} times" if count <= COUNTED else f"more than {COUNTED} times"
    note = f"schedule {schedule.name} was due {'once' if count == 1 else times} while nobody could start its run"
    if schedule.starting_deadline_seconds is not None:
        note += f"; startingDeadlineSeconds is {schedule.starting_deadline_seconds}"
    return Event(
        "MissedSchedule", f"{note}; the newest time was {newest:%Y-%m-%dT%H:%MZ}", EventType.WARNING, "Schedule"
    )


def _run(template: WorkflowTemplate, schedule: Schedule, time: datetime) -> Manifest:
    spec = {"templateRef": {"name": template.metadata.name}}
    return {
        "apiVersion": API_VERSION,
        "kind": "WorkflowRun",
        "metadata": {
            "name": run_name(template.metadata.name, schedule.name, time),
            "namespace": template.metadata.namespace,
            "labels": {**manifests.PART_OF, SCHEDULE_LABEL: schedule.name},
            "annotations": {TIME_ANNOTATION: f"{time:%Y-%m-%dT%H:%M:%SZ}"},
            "ownerReferences": manifests.owner("WorkflowTemplate", template.metadata),
        },
        "spec": spec | ({"parameters": schedule.parameters} if schedule.parameters else {}),
    }
