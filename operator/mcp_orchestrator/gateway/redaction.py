"""Secrets kept out of what the gateway shows: its log, /status and its error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

MARK = "[redacted]"
_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)
_LEAST_LENGTH = 6
"""Shorter values would black out ordinary words and protect nothing."""


class Redactor:
    """Replaces the secrets that it was given, wherever they stand in a text."""

    def __init__(self, secrets: frozenset[str]) -> None:
        # A program's output is looked at line by line, so that a secret of many lines must be known by each of them.
        lines = {line.strip() for secret in secrets for line in secret.splitlines()}
        forms = secrets | lines | {json.dumps(secret)[1:-1] for secret in secrets | lines}
        # The longest first, so that no tail of a long secret survives the removal of a shorter one inside it.
        ordered = sorted((form for form in forms if len(form) >= _LEAST_LENGTH), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def text(self, text: str) -> str:
        """`text` without secrets."""
        return self._pattern.sub(MARK, text) if self._pattern else text

    def value(self, value: Any) -> Any:
        """The JSON value `value` with no secret in any string, keys included."""
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(str(key)): self.value(item) for key, item in value.items()}
            case list() | tuple():
                return [self.value(item) for item in value]
            case _:
                return value


def secrets(environ: Mapping[str, str], header_names: frozenset[str] = frozenset()) -> frozenset[str]:
    """The values in `environ` to keep secret: those of `header_names` and of every name that sounds like a secret."""
    return frozenset(
        value.strip()
        for name, value in environ.items()
        if value.strip() and (name in header_names or _SECRET_NAME.search(name))
    )
