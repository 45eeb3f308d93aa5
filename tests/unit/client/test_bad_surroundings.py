"""Full disks, closed pipes, files that can't be read: told in a line with the right exit code, and no stack trace."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster import ROOT
from tests.unit.client import program

HELLO = ROOT / "examples/hello"
PROGRAM = shlex.join([sys.executable, "-m", "mcp_orchestrator"])


def shell(line: str, *words: str | Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A line of bash; the words are its arguments, and those `before` start it."""
    command = [*before, "bash", "-c", f'mcp() {{ {PROGRAM} "$@"; }}\n{line}', "bash", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("line", "code", "words"),
    [
        pytest.param('mcp validate "$1" >/dev/full', 2, "output can't be written: No space left", id="a full disk"),
        pytest.param('mcp graph "$1/template.yaml" -o svg >/dev/full', 2, "No space left", id="one for a picture"),
        pytest.param("mcp --help >/dev/full", 2, "output can't be written: No space left", id="one for the help"),
        pytest.param("mcp run --help >/dev/full", 2, "No space left", id="one for a command's help"),
        pytest.param("mcp --version >/dev/full", 2, "No space left", id="one for the version"),
        pytest.param("mcp --help | true; exit ${PIPESTATUS[0]}", 141, "", id="nobody reads the help"),
        pytest.param("mcp --help >&-", 0, "", id="nobody wants to read the help"),
        pytest.param('mcp validate "$1" -o json | true; exit ${PIPESTATUS[0]}', 141, "", id="nobody reads"),
        pytest.param("mcp completion bash | true; exit ${PIPESTATUS[0]}", 141, "", id="nobody reads a script"),
        pytest.param('mcp validate "$1" >&-', 0, "", id="nobody wants to read"),
        pytest.param("mcp validate - <&-", 1, "", id="nothing to read"),
        pytest.param("mcp validate /proc/self/mem", 1, "", id="a file that can't be read"),
        pytest.param(
            "mcp validate \"$(printf '%0300d' 0)\"", 2, "can't be read: File name too long", id="no file name"
        ),
        pytest.param("mcp validate $'\\xff'", 2, "no file or directory \\udcff", id="a file name that is no text"),
        pytest.param("PYTHONIOENCODING=ascii mcp validate ü", 2, "no file or directory \\xfc", id="letters in ASCII"),
        pytest.param("mcp run --local -f \"$1\" -p timezone=$'\\xff'", 2, "timezone: it is not UTF-8", id="no text"),
        pytest.param("mcp list --kubeconfig <(printf '\\xff')", 5, "can't be read", id="a kubeconfig that is no text"),
        pytest.param("mcp list --kubeconfig /", 5, "Is a directory", id="a kubeconfig that is no file"),
        pytest.param("mcp get a/b", 2, "'a/b' is no name", id="two names in one"),
        pytest.param("mcp get", 2, "mcp-orchestrator get: the following arguments are required: RUN", id="no run"),
        pytest.param("mcp gte x", 2, "mcp-orchestrator: argument COMMAND: invalid choice: 'gte'", id="no command"),
        pytest.param("mcp get ''", 2, "'' is no name", id="a name without letters"),
        pytest.param("mcp list -n '?x'", 2, "'?x' is no name", id="a namespace with a question mark"),
    ],
)
def test_bad_surroundings_are_told_in_a_line(line: str, code: int, words: str) -> None:
    done = shell(line, HELLO)

    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == bool(words)


def test_a_directory_that_cannot_be_read_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o000)
    (tmp_path / "closed.yaml").touch(mode=0o000)
    # root may read everything, unless it leaves that right behind.
    rights = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()
    done = shell('mcp validate "$1" "$2"', tmp_path, HELLO, before=rights)

    assert (done.returncode, done.stderr) == (1, "")
    assert f"{tmp_path}/closed:1:1" in done.stdout
    assert "the directory can't be read: Permission denied" in done.stdout
    assert f"{tmp_path}/closed.yaml:1:1" in done.stdout
    assert done.stdout.endswith("2 errors in 2 of 5 files\n")


@pytest.mark.parametrize("place", ["a-file", "a-file/below"])
def test_results_that_could_not_be_written_stop_a_run_before_it_starts(tmp_path: Path, place: str) -> None:
    (tmp_path / "a-file").touch()
    done = program.run("run", "--local", "-f", HELLO, "--results-dir", tmp_path / place)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"mcp-orchestrator: --results-dir {tmp_path / place}: nothing can be written there: ")
