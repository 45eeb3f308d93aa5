"""Shows how far long work is: one line that lives on a terminal, plain lines now and then in a log. Used everywhere."""

import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import TextIO

from .problems import Problem
from .text import clip, duration, pad

LIVE_SECONDS = 0.2
# In a file or a CI log, the time between two signs of life.
QUIET_SECONDS = 30.0
# A line is 77 columns wide where there is room: a mark, what it is about, details, and the time it took.
LABEL_COLUMNS, DETAIL_COLUMNS, TIME_COLUMNS = 11, 54, 7
AROUND_DETAIL = 3 + LABEL_COLUMNS + 1 + 1 + TIME_COLUMNS
LEAST_DETAIL = 16


class Progress:
    """Prints one line per finished piece of work, and a passing one for the piece that is under way."""

    def __init__(self, out: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._clock = clock
        self._started = self._shown = clock()

    def begin(self) -> None:
        """Start the clock of the next piece of work."""
        self._started = self._shown = self._clock()

    @property
    def seconds(self) -> float:
        """How long the piece of work has taken so far."""
        return self._clock() - self._started

    def done(self, what: str, detail: str) -> None:
        """The ✓ line of the piece of work that `begin` started."""
        self._close("✓", what, detail, duration(self.seconds))

    def skipped(self, what: str, reason: str) -> None:
        """The line of a piece of work that can't be done here and need not be."""
        self._close("–", what, f"skipped: {reason}", "")

    def note(self, text: str) -> None:
        """A sentence for the reader, on a line of its own."""
        self._erase()
        print(f"   {text}", file=self._out, flush=True)

    def failed(self, problem: Problem | str) -> None:
        """The ✗ line of what did not work, and what to do about it, on standard error."""
        self._erase()
        told = problem if isinstance(problem, Problem) else Problem(problem)
        remedy = [f"   → {told.remedy}"] if told.remedy else []
        print("\n".join([f" ✗ {told.message}", *remedy]), file=sys.stderr, flush=True)

    def under_way(self, what: str, detail: str) -> None:
        """Show what is being done now; may be called as often as one likes."""
        now = self._clock()
        if now - self._shown < (LIVE_SECONDS if self._live else QUIET_SECONDS):
            return
        self._shown = now
        width = self._detail_columns()
        [text] = lines("●", what, [clip(detail, width)], duration(now - self._started), width)
        if self._live:
            print(f"\r{text}\x1b[K", end="", file=self._out, flush=True)
        else:
            print(text, file=self._out, flush=True)

    def _close(self, mark: str, what: str, detail: str, elapsed: str) -> None:
        self._erase()
        width = self._detail_columns()
        wrapped = textwrap.wrap(detail, width, break_on_hyphens=False) if self._live else [detail]
        print("\n".join(lines(mark, what, wrapped or [""], elapsed, width)), file=self._out, flush=True)

    def _detail_columns(self) -> int:
        if not self._live:
            return DETAIL_COLUMNS
        # A passing line that wrapped could not be erased, not even by the two characters that Ctrl-C leaves behind it.
        return max(shutil.get_terminal_size().columns - 3 - AROUND_DETAIL, LEAST_DETAIL)

    def _erase(self) -> None:
        if self._live:
            print("\r\x1b[K", end="", file=self._out, flush=True)


def guarded(work: Callable[[], int], shown: Progress, stopped: Problem | str) -> int:
    """Do a program's work; its exit code: 1 for a Problem and 130 for Ctrl-C, of which a person is told `stopped`."""
    try:
        return work()
    except Problem as problem:
        shown.failed(problem)
        return 1
    except KeyboardInterrupt:
        shown.failed(stopped)
        return 130


def lines(mark: str, what: str, details: Sequence[str], elapsed: str, width: int) -> list[str]:
    """One entry in the layout that all programs share; further lines of details stand below the first."""
    first, *more = details
    head = f" {mark} {what:<{LABEL_COLUMNS}} {pad(first, min(width, DETAIL_COLUMNS))} {elapsed:>{TIME_COLUMNS}}"
    return [head.rstrip(), *(" " * (3 + LABEL_COLUMNS + 1) + line for line in more)]


def wait_for(shown: Progress, what: str, detail: str, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
    """Ask until `ready`. Raises Problem when time is up."""
    end = time.monotonic() + timeout_seconds
    while not ready():
        if time.monotonic() > end:
            raise Problem(f"{what}: still waiting for {detail} after {duration(timeout_seconds)}.")
        shown.under_way(what, f"waiting for {detail}")
        time.sleep(0.1)
