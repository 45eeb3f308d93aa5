"""A block of lines on a terminal that is drawn again in place, such as a table of what is running. Used by the demo."""

import shutil
import sys
from collections.abc import Sequence
from typing import TextIO

from .text import clip


class Block:
    """Lines that the next `show` replaces. Only for a terminal."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._drawn = 0

    def show(self, lines: Sequence[str], *, final: bool = False) -> None:
        """Draw the lines in place of the last ones. A final block may be higher than the terminal."""
        size = shutil.get_terminal_size()
        # The cursor can't go above the terminal's first row, and a line that wraps takes two.
        shown = list(lines if final else lines[: size.lines - 1])
        up = f"\x1b[{self._drawn}A" if self._drawn else ""
        text = "".join(f"{clip(line, size.columns - 1)}\n" for line in shown)
        print(f"{up}\r\x1b[J{text}", end="", file=self._out, flush=True)
        self._drawn = len(shown)
