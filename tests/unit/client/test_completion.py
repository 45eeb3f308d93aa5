"""mcp-orchestrator completion: the real shells, with the real scripts, asked as by somebody who presses Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cluster import ROOT

PRESS_TAB = """
source <(mcp-orchestrator completion bash) || exit 9
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
registered=$(complete -p "${1%% *}")
[[ $registered =~ -F\\ ([^ ]+) ]] && "${BASH_REMATCH[1]}" "${1%% *}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
HELLO = "examples/hello"
FILES = [f"{HELLO}/run.yaml", f"{HELLO}/server.yaml", f"{HELLO}/template.yaml"]


def shell(*words: str) -> list[str]:
    """The lines that a shell prints, with our programs in its PATH."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environ = {"PATH": path, "HOME": "/nonexistent", "PYTHONWARNINGS": "error"}
    done = subprocess.run(words, env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def needs(name: str) -> str:
    """The shell's path."""
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        pytest.param("mcp-orchestrator va", ["validate "], id="a command"),
        pytest.param("kubectl-mcp diag", ["diagnose "], id="a command of the plugin"),
        pytest.param("mcp-orchestrator run --fo", ["--follow "], id="an option"),
        pytest.param("mcp-orchestrator list -o ", ["text", "json", "yaml"], id="the choices of an option"),
        pytest.param("mcp-orchestrator run --output=js", ["json "], id="a choice behind an equals sign"),
        pytest.param(f"mcp-orchestrator validate {HELLO}/", FILES, id="files"),
        pytest.param(f"mcp-orchestrator run --local -f {HELLO} ", ["hello "], id="a template in a file"),
        pytest.param(f"mcp-orchestrator graph {HELLO}/template.yaml --template ", ["hello "], id="one to draw"),
        pytest.param(f"mcp-orchestrator plan -f {HELLO} hello -p ", ["timezone="], id="its parameters"),
        pytest.param("mcp-orchestrator run --local -f gone ", [""], id="nothing where the file is not there"),
        pytest.param("mcp-orchestrator get ", [""], id="nothing where there is no cluster"),
    ],
)
def test_bash_completes(line: str, candidates: list[str]) -> None:
    assert sorted(shell(needs("bash"), "-c", PRESS_TAB, "tab", line)) == sorted(candidates)


def test_fish_completes_and_says_what_each_is() -> None:
    line = 'mcp-orchestrator completion fish | source; complete -C "mcp-orchestrator va"'
    assert shell(needs("fish"), "--no-config", "-c", line) == ["validate\tfind mistakes in files, without a cluster"]


def test_zsh_knows_how_to_complete_both_names() -> None:
    line = "autoload -Uz compinit; compinit -D -u; source <(mcp-orchestrator completion zsh)"
    names = "print -l $_comps[mcp-orchestrator] $_comps[kubectl-mcp]"
    assert shell(needs("zsh"), "-fc", f"{line}; {names}") == ["_python_argcomplete"] * 2


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        pytest.param(["va"], ["validate\tfind mistakes in files, without a cluster", ":4"], id="with its meaning"),
        pytest.param(["run", "--local", "-f", HELLO, "hello", "-p", ""], ["timezone=", ":6"], id="without a space"),
        pytest.param(["run", "it's", ""], [":4"], id="nothing"),
        pytest.param(["get", "--context", ""], [":4"], id="nothing without a kubeconfig"),
    ],
)
def test_kubectl_is_answered_in_its_own_form(words: list[str], lines: list[str]) -> None:
    assert shell("kubectl_complete-mcp", *words) == lines
