"""When runs of a workflow start by themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from mcp_orchestrator.api.base import Model, preserved

MAX_SCHEDULES = 16
ScheduleName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=40)]


class Schedule(Model):
    """Times at which a run is started."""

    name: ScheduleName = Field(description="Name of the schedule; it becomes a part of the names of its runs.")
    cron: Annotated[str, StringConstraints(min_length=1, max_length=128)] = Field(
        description="When: minute, hour, day of the month, month and day of the week, as in 30 6 * * MON-FRI; or one "
        "of @hourly, @daily, @weekly, @monthly and @yearly."
    )
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] | None = Field(
        None, description="Name of the time zone that cron is meant in, as in Europe/Berlin. Default: UTC."
    )
    parameters: dict[str, Any] = Field(
        default_factory=dict,
        description="Values of the workflow's parameters, by name.",
        max_length=64,
        json_schema_extra=preserved(),
    )
    suspend: bool = Field(False, description="Start no runs. What would have started meanwhile is not started later.")
    starting_deadline_seconds: Annotated[int, Field(ge=10, le=31_536_000)] | None = Field(
        None,
        description="Seconds after its time within which a run may still be started, if the operator was away then. "
        "Default: the newest of the missed runs is started, however late.",
    )


class ScheduleStatus(Model):
    """What a schedule has done and will do."""

    name: ScheduleName = Field(description="Name of the schedule.")
    last_schedule_time: datetime | None = Field(None, description="The newest time for which a run was started.")
    next_schedule_time: datetime | None = Field(
        None, description="The next time for which one will be. Unset while the schedule is suspended or has mistakes."
    )
