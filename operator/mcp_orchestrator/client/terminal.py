"""How commands print: colours and the terminal's width where there is one, plain lines where there is not."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
MOST_COLUMNS = 120


@dataclass(frozen=True, slots=True)
class Terminal:
    """A place to print to."""

    out: TextIO
    colours: bool = False
    columns: int = 0
    """0 where lines must not be broken, since a program reads them."""

    @classmethod
    def of(cls, out: TextIO | None = None) -> Terminal:
        """The standard output, as it is. NO_COLOR is heeded (https://no-color.org)."""
        stream = out or sys.stdout
        if not stream.isatty():
            return cls(stream)
        colours = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(stream, colours, min(MOST_COLUMNS, shutil.get_terminal_size().columns))

    def line(self, text: str = "") -> None:
        """A line, at once: a log that follows a run is read while it goes on."""
        print(text, file=self.out, flush=True)

    def data(self, value: Any) -> None:
        """A value as JSON, for programs."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False))

    def back(self, lines: int) -> None:
        """Go back over so many lines and clear them, to print them anew."""
        self.out.write(f"\x1b[{lines}A\x1b[J")

    def paint(self, text: str, colour: str) -> str:
        """The text in a colour, where there are colours."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colours else text

    def aligned(self, rows: Sequence[Sequence[str]]) -> list[list[str]]:
        """The cells of a table, each as wide as its column; those of the last column end where the terminal does."""
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
        room = self.columns - sum(widths) - 2 * len(widths)
        found = []
        for row in rows:
            last = row[-1] if not self.columns or len(row[-1]) <= room else row[-1][: max(0, room - 1)] + "…"
            found.append([*(f"{text:<{width}}" for text, width in zip(row, widths, strict=False)), last])
        return found

    def hanging(self, first: str, text: str) -> None:
        """`text` behind `first`; its further lines begin where it began."""
        indent = " " * len(first)
        lines = text.splitlines() or [""]
        if self.columns > len(first) + 20:
            width = self.columns - len(first)
            # Commands are copied from here: no line break inside a word.
            lines = [
                part
                for line in lines
                for part in textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""]
            ]
        for number, line in enumerate(lines):
            self.line(f"{first if number == 0 else indent}{line}")
