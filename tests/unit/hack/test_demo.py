"""hack/demo: what a run looks like, on wide and narrow terminals and in a log."""

from typing import Any

import pytest

from console import text
from deploy import demo, table

TASKS = [
    {"name": "now", "server": "time", "tool": "get_current_time"},
    {"name": "commit", "server": "git", "tool": "git_commit"},
]


def a_run(phase: str, *tasks: Any, **status: Any) -> dict[str, Any]:
    template = {"spec": {"tasks": TASKS}}
    return {
        "metadata": {"name": "field-notes-7k2p"},
        "status": {"phase": phase, "template": template, "tasks": list(tasks), **status},
    }


NOW = {"name": "now", "phase": "Succeeded", "durationMilliseconds": 41, "result": {"datetime": "T", "dst": False}}
COMMIT = {"name": "commit", "phase": "Succeeded", "durationMilliseconds": 2400, "result": "Changes committed"}
FAILED = {"name": "commit", "phase": "Failed", "error": {"class": "Tool", "message": "nothing to commit"}}
PENDING = {"name": "commit", "phase": "Pending"}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("Changes committed", "Changes committed", id="text-without-quotes"),
        pytest.param({"content": "Wrote it"}, "Wrote it", id="text-that-is-all-of-an-object"),
        pytest.param("\nCommit history:\nCommit: 9f1c", "Commit history: …", id="first-of-several-lines"),
        pytest.param({"a": 1, "b": "é"}, '{"a": 1, "b": "é"}', id="object"),
        pytest.param(["a"], '["a"]', id="list"),
        pytest.param(None, "", id="none"),
        pytest.param("", "", id="empty"),
    ],
)
def test_a_result_is_shown_so_that_a_person_can_read_it(value: Any, shown: str) -> None:
    assert table.one_line(value) == shown


def test_the_table_has_a_line_for_each_task() -> None:
    lines = table.live(a_run("Running", NOW, FAILED, progress="1/2"), 1.0, 100)
    assert lines[0].startswith(" ● run         field-notes-7k2p  Running 1/2")
    assert lines[2:] == [
        "   TASK    SERVER  TOOL              STATUS       TIME    RESULT",
        '   now     time    get_current_time  ✓ Succeeded  41ms    {"datetime": "T", "dst": false}',
        "   commit  git     git_commit        ✗ Failed             nothing to commit",
    ]


@pytest.mark.parametrize("width", [20, 40, 60, 79, 200])
def test_no_line_is_wider_than_the_terminal_and_the_results_stay(width: int) -> None:
    long = NOW | {"result": "long " * 60}
    lines = table.live(a_run("Running", long, COMMIT), 1.0, width)[2:]
    assert max(map(text.columns, lines)) <= max(width, 31)
    assert "RESULT" in lines[0] or width < 31


def test_before_its_workflow_is_known_a_run_is_one_line() -> None:
    waiting = {"metadata": {"name": "x"}, "status": {"phase": "Queued", "message": "10 of 10 running"}}
    assert len(table.live({"metadata": {"name": "x"}}, 0.1, 79)) == 1
    assert "10 of 10 running" in table.live(waiting, 0.1, 79)[0]


def test_at_the_end_the_outputs_are_shown_and_of_long_ones_the_beginning() -> None:
    outputs = {"commit": "9f1c2ab", "history": "\n".join(f"line {number}" for number in range(20)), "count": 3}
    lines = list(table.ending(a_run("Succeeded", duration="3.9s", outputs=outputs), 79))
    assert lines[0] == " Succeeded in 3.9s.  outputs:"
    assert lines[1:4] == ["   commit   9f1c2ab", "   history  line 0", "            line 1"]
    assert lines[-2:] == ["            …", "   count    3"]


def test_a_failure_is_explained_and_says_what_to_do() -> None:
    diagnosis = {"summary": "git: nothing to commit.", "recommendations": ["Write a note.", "Try again."]}
    lines = list(table.ending(a_run("Failed", FAILED, diagnosis=diagnosis, message="1 task failed"), 79))
    assert lines == [" Failed: git: nothing to commit.", "", " What to do", "   1. Write a note.", "   2. Try again."]
    assert list(table.ending(a_run("Failed", message="Deadline"), 79)) == [" Failed: Deadline"]


def test_a_log_tells_each_thing_once(capsys: pytest.CaptureFixture[str]) -> None:
    log = demo.Log()
    for run in (
        {"metadata": {"name": "field-notes-7k2p"}},
        a_run("Running", NOW, PENDING),
        a_run("Running", NOW, PENDING),
        a_run("Running", NOW, COMMIT),
        a_run("Succeeded", NOW, COMMIT, progress="2/2", duration="3.9s"),
    ):
        log.show(run, 1.0)
    words = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line]
    assert words == [
        ["·", "run"], ["TASK", "SERVER"], ["now", "time"], ["●", "run"], ["commit", "git"], ["✓", "run"],
    ]  # fmt: skip


def test_what_comes_next_can_be_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo.following("x", "Succeeded", "")[0].split("   ")[0] == ' Next:  eval "$(hack/cluster env)"'
    assert "  hack/cluster down --name two  " in demo.following("x", "Succeeded", " --name two")[-1]
    assert "describe mrun x" in demo.following("x", "Failed", "")[1]
