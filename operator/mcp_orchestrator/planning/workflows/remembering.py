"""Answers that are the same each time a run of the same workflow asks. Called by checks, nesting and resolution."""

from __future__ import annotations

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar

from mcp_orchestrator.api.base import Model

P = ParamSpec("P")
T = TypeVar("T")

SIZE: Final = 64
"""Answers that are kept of each function: a workflow's model may take a few hundred KiB."""


def remembered(function: Callable[P, T]) -> Callable[P, T]:
    """Keep the last answers of a pure function whose arguments are models and strings, given by position.

    A model counts as the same if it is the very same object. It is frozen, so the answer still holds.
    """
    known: OrderedDict[tuple[Any, ...], tuple[tuple[Any, ...], T]] = OrderedDict()

    @functools.wraps(function)
    def answer(*args: P.args, **kwargs: P.kwargs) -> T:
        key = tuple(id(arg) if isinstance(arg, Model) else arg for arg in args)
        if key not in known:
            # The arguments are kept with the answer: while they live, no other object has their identity.
            known[key] = (args, function(*args, **kwargs))
            if len(known) > SIZE:
                known.popitem(last=False)
        known.move_to_end(key)
        return known[key][1]

    return answer
