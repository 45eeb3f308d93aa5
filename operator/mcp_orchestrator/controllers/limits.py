"""The limits file: read at the start, and again when it changes, so that a limit is changed without a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import yaml
from pydantic import ValidationError

from mcp_orchestrator.api.limits import Limits
from mcp_orchestrator.settings import PREFIX, InvalidSetting, Settings

logger = logging.getLogger(__name__)

LOOK_SECONDS = 2.0


def load(settings: Settings) -> Limits:
    """The limits of the file, if there is one; what it does not say, the settings do.

    Raises InvalidSetting, naming the field, what is wrong with it and what is allowed.
    """
    given = _read(settings.limits_file) if settings.limits_file else Limits()
    if given.max_concurrent_runs is not None:
        return given
    return given.model_copy(update={"max_concurrent_runs": settings.max_concurrent_workflows})


async def follow(settings: Settings, current: Limits, changed: Callable[[Limits], None]) -> None:
    """Look at the file for ever, and tell of other limits. A file that can't be used changes nothing but the log."""
    trouble = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            found = await asyncio.to_thread(load, settings)
        except InvalidSetting as error:
            if str(error) != trouble:
                trouble = str(error)
                logger.error("the limits stay as they are: %s", trouble)
            continue
        trouble = ""
        if found != current:
            current = found
            logger.info("new limits: %s", found.wire())
            changed(found)


def _read(path: str) -> Limits:
    try:
        found = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return Limits.model_validate({} if found is None else found)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSetting(f"{PREFIX}LIMITS_FILE: {path} can't be read: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidSetting(f"{path}: {where} is {first['input']!r}: {first['msg']}") from error
