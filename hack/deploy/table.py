"""A run of a workflow in lines of text: its tasks, its outputs, its diagnosis. Pure functions. Used by demo."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from console import progress
from console.text import clip, columns, duration, pad

MARKS = {"Succeeded": "✓", "Failed": "✗", "Skipped": "–", "Running": "●", "Pending": "·"}
ENDED = ("Succeeded", "Failed", "Skipped")
INDENT = "   "
GAP = 2
LEAST_RESULT = 24
OUTPUT_LINES = 6
TITLES = ("TASK", "SERVER", "TOOL", "STATUS", "TIME")
RESULT = "RESULT"
# Where a terminal is too narrow for a useful result, these go, the first one first.
DISPENSABLE = ("TOOL", "SERVER", "TIME")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns that are shown, with their widths."""

    widths: Mapping[str, int]
    result: int

    def row(self, cells: Mapping[str, str]) -> str:
        """One line of the table."""
        fixed = "".join(pad(clip(cells[title], width), width + GAP) for title, width in self.widths.items())
        return f"{INDENT}{fixed}{clip(cells[RESULT], self.result)}".rstrip()

    def head(self) -> str:
        """The line of titles."""
        return self.row({title: title for title in (*TITLES, RESULT)})


def layout(tasks: Sequence[Any], width: int) -> Layout:
    """Columns that hold the words of a workflow's tasks and fit into `width`."""
    widths = {
        "TASK": _widest("TASK", *(task["name"] for task in tasks)),
        "SERVER": _widest("SERVER", *(task["server"] for task in tasks)),
        "TOOL": _widest("TOOL", *(task["tool"] for task in tasks)),
        "STATUS": _widest(*(f"✓ {phase}" for phase in MARKS)),
        "TIME": 6,
    }
    for title in (*DISPENSABLE, None):
        left = width - len(INDENT) - sum(widths.values()) - GAP * len(widths)
        if left >= LEAST_RESULT or title is None:
            break
        del widths[title]
    return Layout(widths, max(left, 1))


def rows(run: Any, shown: Layout) -> list[str]:
    """A line for each task that the run reports."""
    return [row(task, calls(run).get(task["name"], {}), shown) for task in run["status"].get("tasks", ())]


def row(task: Any, call: Any, shown: Layout) -> str:
    """The line of one task; `call` is what the workflow says about it."""
    phase = task["phase"]
    cells = {
        "TASK": task["name"],
        "SERVER": call.get("server", ""),
        "TOOL": call.get("tool", ""),
        "STATUS": f"{MARKS.get(phase, '●')} {phase}",
        "TIME": took(task.get("durationMilliseconds")),
        RESULT: task["error"]["message"] if "error" in task else one_line(task.get("result")),
    }
    return shown.row(cells)


def workflow(run: Any) -> Sequence[Any]:
    """The tasks of the run's workflow, which is known once the run is admitted."""
    tasks: Sequence[Any] = run.get("status", {}).get("template", {}).get("spec", {}).get("tasks", ())
    return tasks


def calls(run: Any) -> dict[str, Any]:
    """The same by name."""
    return {task["name"]: task for task in workflow(run)}


def live(run: Any, elapsed_seconds: float, width: int) -> list[str]:
    """The run and its tasks, while it goes on and at its end."""
    status = run.get("status", {})
    phase = status.get("phase", "Pending")
    said = run["metadata"]["name"] + (f"  {status['message']}" if phase == "Queued" and "message" in status else "")
    word = f"{phase} {status.get('progress', '')}".rstrip()
    time = status.get("duration") or duration(elapsed_seconds)
    [first] = progress.lines(MARKS.get(phase, "●"), "run", [f"{said}  {word}"], time, width - progress.AROUND_DETAIL)
    if not workflow(run):
        return [first]
    shown = layout(workflow(run), width)
    return [first, "", shown.head(), *rows(run, shown)]


def ending(run: Any, width: int) -> Iterator[str]:
    """What came out of the run: its outputs, or what went wrong and what to do."""
    status = run["status"]
    if status["phase"] == "Succeeded":
        yield f" Succeeded in {status.get('duration', 'no time')}.  outputs:"
        yield from outputs(status.get("outputs", {}), width)
        return
    diagnosis = status.get("diagnosis", {})
    yield from hanging(" Failed: ", diagnosis.get("summary") or status.get("message", "nobody knows why"), width)
    if recommendations := diagnosis.get("recommendations", ()):
        yield ""
        yield " What to do"
        for number, text in enumerate(recommendations, start=1):
            yield from hanging(f"   {number}. ", text, width)


def hanging(start: str, text: str, width: int) -> list[str]:
    """Lines of a text that begins with `start` and is indented as far."""
    return textwrap.wrap(text, max(width, 2 * len(start)), initial_indent=start, subsequent_indent=" " * len(start))


def outputs(values: Mapping[str, Any], width: int) -> Iterator[str]:
    """The outputs by name; those of several lines below each other."""
    name_width = max(map(columns, values), default=0)
    room = max(width - len(INDENT) - name_width - GAP, 1)
    for name, value in values.items():
        lines = [part for line in as_text(value).splitlines() for part in textwrap.wrap(line, room)] or [""]
        if len(lines) > OUTPUT_LINES:
            lines = [*lines[: OUTPUT_LINES - 1], "…"]
        for title, line in zip([name, *[""] * (len(lines) - 1)], lines, strict=True):
            yield f"{INDENT}{pad(title, name_width + GAP)}{clip(line, room)}"


def as_text(value: Any) -> str:
    """A value for people: text as it is, also where it is the only field of an object; other values as JSON."""
    if isinstance(value, dict) and len(value) == 1:
        [only] = value.values()
        value = only if isinstance(only, str) else value
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def one_line(value: Any) -> str:
    """The same in one line, with an ellipsis where there are more."""
    lines = [line for line in as_text(value).splitlines() if line.strip()]
    return f"{lines[0]} …" if len(lines) > 1 else "".join(lines)


def took(milliseconds: int | None) -> str:
    """How long a task took: 41ms or 2.4s."""
    if milliseconds is None:
        return ""
    return f"{milliseconds}ms" if milliseconds < 1000 else duration(milliseconds / 1000)


def _widest(*words: str) -> int:
    return max(map(columns, words))
