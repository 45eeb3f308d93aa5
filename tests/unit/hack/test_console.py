"""What all programs in hack/ show of long work: to a person at a terminal, and in a log."""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from console import commands, progress, text
from console.block import Block
from console.problems import Problem
from console.progress import Progress
from localcluster import build


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> int:
    """A terminal of few columns; how many."""
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("LINES", "5")
    return 50


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0s"), (0.44, "0.4s"), (9.96, "10s"), (24.2, "24s"), (59.8, "1m00s"), (192, "3m12s")],
)
def test_durations_are_for_people(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("line", "width", "clipped"),
    [
        pytest.param("herons", 6, "herons", id="fits"),
        pytest.param("two herons", 5, "two…", id="cut-without-a-space-at-the-end"),
        pytest.param("鷺鷺鷺", 5, "鷺鷺…", id="characters-of-two-columns"),
        pytest.param("a\x1b[2Jb\nc", 9, "a [2Jb c", id="nothing-that-moves-the-cursor"),
        pytest.param("herons", 0, "", id="no-room"),
    ],
)
def test_a_line_is_cut_to_the_columns_that_there_are(line: str, width: int, clipped: str) -> None:
    assert text.clip(line, width) == clipped


def test_a_log_gets_a_line_every_half_minute_and_no_control_characters() -> None:
    out, clock = io.StringIO(), Clock()
    shown = Progress(out, clock=clock)
    shown.begin()
    for second in range(1, 70):
        clock.seconds = float(second)
        shown.under_way("build", "Kubernetes")
    shown.done("build", "Kubernetes")
    lines = out.getvalue().splitlines()
    assert [re.sub(" +", " ", line) for line in lines] == [
        " ● build Kubernetes 30s",
        " ● build Kubernetes 1m00s",
        " ✓ build Kubernetes 1m09s",
    ]
    assert "\r" not in out.getvalue()


def test_a_terminal_has_one_line_that_changes() -> None:
    out, clock = Terminal(), Clock()
    shown = Progress(out, clock=clock)
    for second in range(1, 4):
        clock.seconds = float(second)
        shown.under_way("build", "Kubernetes")
    assert out.getvalue().count("\r") == 3
    assert "\n" not in out.getvalue()
    shown.done("build", "Kubernetes")
    assert out.getvalue().endswith("3.0s\n")


def test_no_line_is_wider_than_a_narrow_terminal(narrow: int) -> None:
    out, clock = Terminal(), Clock()
    shown = Progress(out, clock=clock)
    clock.seconds = 200
    details = "mcp-orchestrator:dev, mcp-demo-servers:dev, and all that they stand on"
    shown.under_way("images", details)
    shown.done("images", details)
    lines = [re.sub(r"\x1b\[K", "", line) for line in re.split("[\r\n]", out.getvalue())]
    assert max(map(len, lines)) < narrow
    assert " on" in lines[-2]


def test_all_entries_of_a_log_are_in_columns() -> None:
    out = io.StringIO()
    for what, details in (("cluster", "embedded"), ("images", "one, two"), ("operator", "ready")):
        Progress(out).done(what, details)
    lines = out.getvalue().splitlines()
    assert {(line.index("0.0s"), len(line)) for line in lines} == {(73, 77)}


def test_a_failure_names_its_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    Progress().failed(Problem("No such thing.", "Make one."))
    assert capsys.readouterr().err == " ✗ No such thing.\n   → Make one.\n"


def test_a_block_is_drawn_in_place_and_whole_at_its_end(narrow: int) -> None:
    out = Terminal()
    block = Block(out)
    block.show([str(number) for number in range(9)])
    assert out.getvalue().endswith("0\n1\n2\n3\n")
    block.show([str(number) for number in range(9)], final=True)
    assert out.getvalue().rpartition("\x1b[J")[0].endswith("\x1b[4A\r")
    assert out.getvalue().endswith("8\n")


def test_a_build_shows_what_it_has_done() -> None:
    count = build.Count("kwok", 120, Progress(io.StringIO()))
    count.on_line("go: downloading k8s.io/api v0.36.1")
    assert count.text() == "kwok: 1 modules downloaded"
    count.on_line("k8s.io/api/core/v1")
    count.on_line("")
    assert count.text() == "kwok: 1 of 120 packages compiled"


def talk(lines: list[str], code: int = 0) -> list[str]:
    return [sys.executable, "-c", f"for line in {lines!r}: print(line, flush=True)\nraise SystemExit({code})"]


def test_a_command_that_fails_is_told_with_the_end_of_what_it_said_and_where_the_rest_is(tmp_path: Path) -> None:
    lines = [f"line {number}" for number in range(60)]
    with pytest.raises(Problem, match=r"exit code 3") as caught:
        commands.run(talk(lines, code=3), log=tmp_path / "log")
    assert "line 59" in caught.value.message
    assert "line 44" not in caught.value.message
    assert str(tmp_path / "log") in caught.value.remedy
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_what_a_command_prints_is_its_output_and_its_complaint_the_problem() -> None:
    assert commands.output(["cat"], stdin="hello") == "hello"
    with pytest.raises(Problem, match="out of luck"):
        commands.output(["sh", "-c", "echo out of luck >&2; exit 3"])


def test_a_command_may_end_in_its_own_way_when_a_person_interrupts() -> None:
    # As a terminal does it: the signal goes to both.
    both = """
import sys
from console import commands
try:
    commands.pass_through([sys.executable, "-c", sys.argv[1]])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""
    child = """
import os, signal, threading
def end(*_): print("tidied up", flush=True); os._exit(0)
signal.signal(signal.SIGINT, end)
print("ready", flush=True)
threading.Event().wait()
"""
    environment = os.environ | {"PYTHONPATH": str(Path(commands.__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", both, child], stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.read() == "tidied up\ninterrupted\n"


def test_waiting_ends_when_time_is_up() -> None:
    with pytest.raises(Problem, match="still waiting for the sun"):
        progress.wait_for(Progress(io.StringIO()), "cluster", "the sun", lambda: False, timeout_seconds=0)
