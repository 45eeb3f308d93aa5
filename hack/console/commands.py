"""Runs other programs: with their output watched, with their output passed through, or for what they print."""

import queue
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path

from .problems import Problem
from .progress import LIVE_SECONDS
from .text import clip

TAIL_LINES = 15
COMMAND_COLUMNS = 60
Words = Sequence[str | Path]


def run(
    argv: Words,
    *,
    on_line: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    log: Path | None = None,
) -> None:
    """Run a command to its end; `on_line` gets its lines, and an empty one while it says nothing. Raises Problem.

    Everything that it says is added to `log` too.
    """
    tail = deque[str](maxlen=TAIL_LINES)
    with (
        log.open("a") if log else nullcontext() as sink,
        subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            errors="replace", env=env, cwd=cwd,
        ) as process,
    ):  # fmt: skip
        try:
            for line in _lines(process):
                if line:
                    tail.append(line)
                    if sink:
                        print(line, file=sink)
                on_line(line)
        except BaseException:
            process.terminate()
            raise
    if process.returncode != 0:
        said = "".join(f"\n     {line}" for line in tail)
        remedy = f"Everything that it said is in {log}." if log else ""
        raise Problem(f"`{_short(argv)}` failed with exit code {process.returncode}:{said}", remedy)


def output(argv: Words, *, stdin: str | None = None) -> str:
    """What a command prints. Raises Problem with its complaint."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        complaint = "\n     ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-TAIL_LINES:])
        raise Problem(f"`{_short(argv)}` failed with exit code {done.returncode}: {complaint}")
    return done.stdout


def pass_through(argv: Words, *, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> int:
    """Run a command that speaks for itself; its exit code.

    The terminal sends Ctrl-C to it too, so it is given the time to end in its own way before KeyboardInterrupt goes on.
    """
    interrupted: KeyboardInterrupt | None = None
    process = subprocess.Popen(argv, cwd=cwd, env=env)
    while True:
        try:
            code = process.wait()
            break
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
    if interrupted:
        raise interrupted
    return code


def _short(argv: Words) -> str:
    """A command for a sentence: its beginning, the program by its name."""
    words = [Path(argv[0]).name, *(str(word) for word in argv[1:])]
    return clip(" ".join(words), COMMAND_COLUMNS)


def _lines(process: "subprocess.Popen[str]") -> Iterator[str]:
    """The lines that a process writes; an empty string whenever nothing came for a moment."""
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        for line in process.stdout or ():
            lines.put(line.rstrip("\n"))
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=LIVE_SECONDS)
        except queue.Empty:
            yield ""
            continue
        if line is None:
            return
        yield line
