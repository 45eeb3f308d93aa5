"""The secrets of a run: the values of its sensitive parameters, wherever they turn up. Used by `reporting`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from mcp_orchestrator.runner.results import values

SHORTEST = 4
"""Characters below which a secret is not looked for: it would be found in everything."""
HIDDEN = "•••"


class Secrets:
    """Strings that must not be shown."""

    def __init__(self, sensitive: Iterable[Any] = ()) -> None:
        found = {text for value in sensitive for text in _strings(value) if len(text) >= SHORTEST}
        # The longest first, so that none is left over in part.
        self._texts = sorted(found | {_escaped(text) for text in found}, key=lambda text: (-len(text), text))
        self._encoded = [text.encode("utf-8", "replace") for text in self._texts]

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self._texts)

    def with_another(self, value: Any) -> Secrets:
        """These and the strings of one more value."""
        return Secrets([*self._texts, value])

    def redact(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._texts:
            text = text.replace(secret, HIDDEN)
        return text

    def stand_in(self, encoded: bytes) -> bool:
        """Whether JSON has a secret in it."""
        return any(secret in encoded for secret in self._encoded)


def _strings(value: Any) -> Iterator[str]:
    """The value's own texts; a number or boolean as JSON."""
    match value:
        case str():
            yield value
            yield from (line for line in value.splitlines() if line != value)
        case dict():
            for inner in value.values():
                yield from _strings(inner)
        case list() | tuple():
            for inner in value:
                yield from _strings(inner)
        case None | bool():
            return
        case _:
            yield values.encode(value).decode()


def _escaped(text: str) -> str:
    """The text as it stands in JSON."""
    return values.encode(text).decode()[1:-1]
