"""Texts of servers and errors, made fit for status fields and logs. Called by whatever shows words of others."""

from __future__ import annotations

import re

MESSAGE_BYTES = 4096
"""The bound of a message: in bytes, so that a hundred tasks with messages in any script fit into one object."""

# Escape sequences of terminals; control characters but line feed and tab; what reorders text or can't be shown at all.
_UNFIT = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"
    r"|[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff\ud800-\udfff]"
)


_ERRNO = re.compile(r"\[Errno -?\d+\] ")


def fit(text: str, limit_bytes: int = MESSAGE_BYTES) -> str:
    """`text` without what a terminal or an API server would stumble over, in at most `limit_bytes` as UTF-8."""
    # What is left after the cut is at most this long, and a hostile text may be very much longer.
    return cut(_UNFIT.sub("", text[: limit_bytes * 4].replace("\r\n", "\n")).strip(), limit_bytes)


def one_line(text: str, limit_bytes: int = MESSAGE_BYTES) -> str:
    """`fit`, on one line."""
    return cut(" ".join(fit(text, limit_bytes).split()), limit_bytes)


def of_error(error: BaseException, limit_bytes: int = 1024) -> str:
    """What the error says, on one line, without the numbers of the operating system; its type where it says nothing."""
    return one_line(_ERRNO.sub("", str(error)), limit_bytes) or type(error).__name__


def cut(text: str, limit_bytes: int) -> str:
    """`text` in at most `limit_bytes` as UTF-8, marked where it was cut."""
    raw = text.encode("utf-8", "replace")
    if len(raw) <= limit_bytes:
        return text
    return raw[: limit_bytes - 3].decode("utf-8", "ignore") + "…"
