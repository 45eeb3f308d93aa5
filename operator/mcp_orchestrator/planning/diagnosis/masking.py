"""Secrets kept out of words that others wrote, where their values are not known: by how they look. Used by `evidence`.

The gateway and the runner take out the values that they know (gateway.redaction, runner.reports.secrets); this is for
what comes from elsewhere, such as the last words of a foreign container.
"""

from __future__ import annotations

import re

MARK = "[redacted]"
_NAMED = re.compile(
    r"(?i)\b([\w.-]*(?:api[_-]?key|token|secret|passw(?:or)?d|credential|authorization)[\w.-]*[\"']?\s*[=:]\s*[\"']?)"
    r"(?:(bearer|basic)\s+)?[^\s\"',;&]+"
)
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]{8,}")
_KNOWN_SHAPES = re.compile(
    r"\b(?:sk-[\w-]{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abpr]-[\w-]{10,}|AKIA[0-9A-Z]{16}|"
    r"AIza[\w-]{30,}|pplx-\w{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)"
)
_USER_INFO = re.compile(r"(?<=://)[^/\s:@]+:[^/\s@]+(?=@)")


def masked(text: str) -> str:
    """`text` without what looks like a secret: values after names such as api_key, bearer tokens, known shapes."""
    text = _NAMED.sub(lambda found: f"{found[1]}{MARK}", text)
    text = _BEARER.sub(lambda found: f"{found[1]} {MARK}", text)
    return _USER_INFO.sub(MARK, _KNOWN_SHAPES.sub(MARK, text))
