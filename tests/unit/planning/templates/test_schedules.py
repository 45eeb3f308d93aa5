"""Which runs a template's schedules start, and when the next ones are due."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.builders import a_parameter, a_template

from mcp_orchestrator.api.scheduling import Schedule, ScheduleStatus
from mcp_orchestrator.api.workflowtemplate import WorkflowTemplate, WorkflowTemplateStatus
from mcp_orchestrator.planning.templates import schedules
from mcp_orchestrator.planning.templates.schedules import LOOK_AGAIN, SchedulePlan

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def a_schedule(cron: str = "0 * * * *", name: str = "hourly", **fields: Any) -> Schedule:
    return Schedule(name=name, cron=cron, **fields)


def scheduled(*several: Schedule, status: Iterable[ScheduleStatus] = (), **fields: Any) -> WorkflowTemplate:
    """A template with these schedules; an hourly one if none are given."""
    template = a_template(schedules=several or (a_schedule(),), **fields)
    return template.model_copy(update={"status": WorkflowTemplateStatus(schedules=tuple(status))})


def known(last: datetime | None = None, coming: datetime | None = None, name: str = "hourly") -> ScheduleStatus:
    """What stands in the status of a schedule."""
    return ScheduleStatus(
        name=name,
        **({"last_schedule_time": last} if last else {}),
        **({"next_schedule_time": coming} if coming else {}),
    )


def started(plan: SchedulePlan) -> list[str]:
    return [start.run["metadata"]["annotations"][schedules.TIME_ANNOTATION] for start in plan.starts]


# --- when runs start --------------------------------------------------------------------------------------------------


def test_a_schedule_that_is_seen_for_the_first_time_starts_nothing_before_its_next_time() -> None:
    plan = schedules.plan_schedules(scheduled(), NOON + MINUTE)
    assert plan.starts == ()
    assert plan.status == (known(coming=NOON + HOUR),)
    assert plan.wake_at == NOON + MINUTE + LOOK_AGAIN


def test_nothing_happens_before_a_time_has_come() -> None:
    status = known(NOON - HOUR, NOON)
    plan = schedules.plan_schedules(scheduled(status=[status]), NOON - timedelta(seconds=1))
    assert plan == SchedulePlan(status=(status,), wake_at=NOON)


def test_a_run_starts_when_its_time_has_come() -> None:
    schedule = a_schedule(parameters={"topic": "x"})
    template = scheduled(schedule, status=[known(NOON - HOUR, NOON)], parameters=[a_parameter()])
    plan = schedules.plan_schedules(template, NOON)
    (start,) = plan.starts
    metadata = start.run["metadata"]
    assert re.fullmatch(r"field-notes-hourly-202601021200-[0-9a-f]{6}", metadata["name"])
    assert metadata["namespace"] == "default"
    assert metadata["labels"]["mcp-orchestrator.io/schedule"] == "hourly"
    assert metadata["annotations"] == {"mcp-orchestrator.io/scheduled-time": "2026-01-02T12:00:00Z"}
    assert metadata["ownerReferences"][0]["uid"] == template.metadata.uid
    assert start.run["spec"] == {"templateRef": {"name": "field-notes"}, "parameters": {"topic": "x"}}
    assert plan.status == (known(NOON, NOON + HOUR),)
    assert plan.events == ()


def test_a_run_that_could_not_be_made_is_told_and_counts_as_not_started() -> None:
    (start,) = schedules.plan_schedules(scheduled(status=[known(NOON - HOUR, NOON)]), NOON).starts
    assert start.otherwise == known(NOON - HOUR, NOON + HOUR)
    told = schedules.not_started(start, "exceeded quota")
    assert told.note == "the run of schedule hourly for 2026-01-02T12:00:00Z was refused: exceeded quota"


def test_each_schedule_is_for_itself() -> None:
    several = (a_schedule(), a_schedule("30 6 * * *", "early", time_zone="Asia/Tokyo"))
    plan = schedules.plan_schedules(scheduled(*several, status=[known(NOON - HOUR, NOON)]), NOON)
    assert started(plan) == ["2026-01-02T12:00:00Z"]
    assert plan.status == (known(NOON, NOON + HOUR), known(coming=NOON + timedelta(hours=9.5), name="early"))


@pytest.mark.parametrize(
    ("deadline", "late", "start", "words"),
    [
        pytest.param(None, 5 * MINUTE, "2026-01-02T12:00:00Z", "", id="a-little-late"),
        pytest.param(
            None, 2 * HOUR + 5 * MINUTE, "2026-01-02T14:00:00Z", "was due 2 times while", id="only-the-newest-starts"
        ),
        pytest.param(
            None, 99 * DAY, "2026-04-11T12:00:00Z", "more than 100 times", id="however-late-and-however-many"
        ),
        pytest.param(600, 5 * MINUTE, "2026-01-02T12:00:00Z", "", id="within-the-deadline"),
        pytest.param(
            60, 5 * MINUTE, None, "was due once while nobody could start its run; startingDeadlineSeconds is 60",
            id="beyond-the-deadline",
        ),
        pytest.param(
            600, HOUR + 5 * MINUTE, "2026-01-02T13:00:00Z", "was due once", id="the-newest-is-within-the-deadline"
        ),
        pytest.param(60, HOUR + 5 * MINUTE, None, "was due 2 times", id="the-newest-is-beyond-it-too"),
    ],
)  # fmt: skip
def test_of_times_that_were_missed_the_newest_counts(
    deadline: int | None, late: timedelta, start: str | None, words: str
) -> None:
    template = scheduled(a_schedule(starting_deadline_seconds=deadline), status=[known(NOON - HOUR, NOON)])
    plan = schedules.plan_schedules(template, NOON + late)
    assert started(plan) == ([start] if start else [])
    assert len(plan.events) == (1 if words else 0)
    assert all(words in event.note for event in plan.events)
    (status,) = plan.status
    assert status.next_schedule_time
    assert status.next_schedule_time > NOON + late
    assert status.last_schedule_time == (datetime.fromisoformat(start) if start else NOON - HOUR)


@pytest.mark.parametrize(
    ("schedule", "template"),
    [
        pytest.param({"suspend": True}, {}, id="suspended"),
        pytest.param({"cron": "61 * * * *"}, {}, id="no-expression"),
        pytest.param({"time_zone": "Nowhere"}, {}, id="no-zone"),
        pytest.param({}, {"parameters": [a_parameter()]}, id="a-parameter-is-missing"),
    ],
)
def test_a_schedule_that_is_suspended_or_wrong_starts_nothing_and_forgets_when_it_was_due(
    schedule: dict[str, Any], template: dict[str, Any]
) -> None:
    stopped = scheduled(a_schedule(**schedule), status=[known(NOON - HOUR, NOON)], **template)
    assert schedules.plan_schedules(stopped, NOON) == SchedulePlan(status=(known(NOON - HOUR),))


def test_a_schedule_that_changed_is_due_when_it_says_now() -> None:
    status = known(NOON - HOUR, NOON + 12 * HOUR)
    plan = schedules.plan_schedules(scheduled(status=[status]), NOON + MINUTE)
    assert plan.status == (known(NOON - HOUR, NOON + HOUR),)


def test_a_time_of_the_old_expression_starts_nothing() -> None:
    plan = schedules.plan_schedules(scheduled(a_schedule("30 * * * *"), status=[known(None, NOON)]), NOON + MINUTE)
    assert plan.starts == ()
    assert plan.status == (known(coming=NOON + 30 * MINUTE),)


def test_what_is_no_schedule_any_more_is_forgotten() -> None:
    assert schedules.plan_schedules(scheduled(status=[known(NOON, name="old")]), NOON).status == (
        known(coming=NOON + HOUR),
    )


def test_a_template_that_is_being_deleted_starts_nothing() -> None:
    template = scheduled(status=[known(NOON - HOUR, NOON)])
    dying = template.metadata.model_copy(update={"deletion_timestamp": NOON})
    assert schedules.plan_schedules(template.model_copy(update={"metadata": dying}), NOON) == SchedulePlan()


def test_a_clock_that_is_set_back_a_little_brings_no_time_again() -> None:
    template = scheduled(status=[known(NOON, NOON + HOUR)])
    plan = schedules.plan_schedules(template, NOON - MINUTE)
    assert plan.starts == ()
    assert plan.status == template.status.schedules


def test_a_clock_that_was_far_ahead_does_not_silence_a_schedule() -> None:
    template = scheduled(status=[known(NOON + 400 * DAY, NOON + 400 * DAY + HOUR)])
    (status,) = schedules.plan_schedules(template, NOON).status
    assert status.next_schedule_time == NOON + HOUR


CRONS = st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 6 * * *", "15 2,3 * * SUN"])
ZONES = st.sampled_from([None, "Europe/Berlin", "America/New_York"])
STEPS = st.lists(
    st.tuples(
        st.timedeltas(timedelta(minutes=-50), timedelta(hours=3))
        | st.sampled_from([MINUTE, DAY, timedelta(seconds=1)]),
        st.booleans(),
    ),
    max_size=60,
)
"""How far the clock goes, and whether the leader is lost before it has written the status."""


@given(CRONS, ZONES, STEPS)
def test_however_the_clock_goes_and_whoever_leads_each_time_has_one_run(
    cron: str, zone: str | None, steps: list[tuple[timedelta, bool]]
) -> None:
    template, now = scheduled(a_schedule(cron, time_zone=zone)), NOON
    made: dict[str, datetime] = {}
    latest = now
    for jump, lost in steps:
        now = max(now + jump, latest - 50 * MINUTE)
        latest = max(latest, now)
        written = max((one.last_schedule_time or NOON - DAY for one in template.status.schedules), default=NOON - DAY)
        plan = schedules.plan_schedules(template, now)
        for start in plan.starts:
            name, (time,) = start.run["metadata"]["name"], started(plan)
            moment = datetime.fromisoformat(time)
            assert moment <= now
            assert made.get(name, moment) == moment, "a name is for one time"
            assert moment > written, "what is on record comes never again"
            made[name] = moment
        (status,) = plan.status
        assert status.next_schedule_time
        assert status.next_schedule_time > now
        if not lost:
            template = template.model_copy(update={"status": WorkflowTemplateStatus(schedules=plan.status)})
    assert len(set(made.values())) == len(made)


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[a-z0-9]([-.a-z0-9]{0,100}[a-z0-9])?", fullmatch=True)


@given(NAMES, st.from_regex(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?", fullmatch=True))
def test_a_runs_name_is_a_good_one_and_always_the_same(template: str, schedule: str) -> None:
    name = schedules.run_name(template, schedule, NOON)
    assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", name)
    assert len(name) <= 63
    assert name == schedules.run_name(template, schedule, NOON)


def test_names_that_read_the_same_differ() -> None:
    assert schedules.run_name("a-b", "c", NOON) != schedules.run_name("a", "b-c", NOON)
    assert schedules.run_name("a", "b", NOON) != schedules.run_name("a", "b", NOON + MINUTE)


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schedule", "path", "words"),
    [
        pytest.param({"cron": "0 0 30 2 *"}, "spec.schedules[0].cron", "never comes", id="never"),
        pytest.param({"time_zone": "Berlin"}, "spec.schedules[0].timeZone", "is no time zone", id="zone"),
        pytest.param(
            {"parameters": {"topik": "x", "topic": "y"}}, "spec.schedules[0].parameters.topik",
            'did you mean "topic"?', id="unknown-parameter",
        ),
        pytest.param({"parameters": {}}, "spec.schedules[0].parameters.topic", "it is missing", id="missing-parameter"),
        pytest.param({"parameters": {"topic": 7}}, "spec.schedules[0].parameters.topic", "string", id="wrong-type"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_schedule_is_told_with_its_path(schedule: dict[str, Any], path: str, words: str) -> None:
    topic = a_parameter("topic", {"type": "string"})
    fields = {"parameters": {"topic": "x"}, **schedule}
    (mistake,) = schedules.check(scheduled(a_schedule(**fields), parameters=[topic]).spec)
    assert mistake.path == path
    assert words in mistake.message


def test_a_sound_schedule_has_no_mistakes() -> None:
    assert schedules.check(scheduled(a_schedule("@daily", time_zone="Europe/Berlin")).spec) == ()
