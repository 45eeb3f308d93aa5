"""Text on a terminal: durations and sizes for people, and what fits into a number of columns. Used everywhere."""

import unicodedata
from pathlib import Path


def duration(seconds: float) -> str:
    """`0.4s`, `24s` or `3m12s`."""
    if round(seconds, 1) < 10:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"


def size(path: Path) -> str:
    """A file's size in MB."""
    return f"{path.stat().st_size / 1e6:.0f} MB"


def columns(text: str) -> int:
    """How many columns a line takes."""
    return sum(_width(character) for character in text)


def clip(text: str, width: int) -> str:
    """A line cut to `width` columns, with an ellipsis where something is missing, and nothing that moves the cursor."""
    text = "".join(character if character.isprintable() else " " for character in text)
    if columns(text) <= width:
        return text
    kept, used = "", 1
    for character in text:
        used += _width(character)
        if used > width:
            break
        kept += character
    return f"{kept.rstrip()}…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """A line filled up to `width` columns."""
    return text + " " * (width - columns(text))


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
