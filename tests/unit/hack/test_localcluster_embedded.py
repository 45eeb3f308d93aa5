"""hack/cluster: certificates that hold, and executables that are built once."""

import shutil
import subprocess
from io import StringIO
from pathlib import Path

import pytest

from console.problems import Problem
from console.progress import Progress
from localcluster import build, pki, state

# `go build` and `go install` leave what they would; `go env` and `go list` answer.
GO = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
env) echo "$GO_VERSION"; echo "$GO_FETCHES" ;;
list) echo one/package ;;
build) for word; do if [ "$before" = -o ]; then touch "$word/kube" "$word/pause"; fi; before=$word; done ;;
install) touch "$GOBIN/kwok" ;;
esac
"""

# What the package holds: the whole toolchain, of which one program matters.
UNPACKED_GO = 'mkdir -p "$to/go/bin" && cp "$GO" "$to/go/bin/go"\n'


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs/go").write_text(GO)
    (tmp_path / "programs/go").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'programs'}:/usr/bin:/bin")
    monkeypatch.setenv("GO_VERSION", "go1.99.0")
    monkeypatch.setenv("GO_FETCHES", "local")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    return tmp_path / "calls"


def test_the_executables_are_built_once(tmp_path: Path, calls: Path) -> None:
    home, shown = state.Home(tmp_path), Progress(StringIO())
    first, second = build.kube(home, shown), build.kube(home, shown)
    assert first == second
    assert first.executable.exists()
    assert first.pause.exists()
    assert calls.read_text().count("build -v") == 1


def test_what_a_killed_build_left_goes_with_the_next(tmp_path: Path, calls: Path) -> None:
    home, shown = state.Home(tmp_path), Progress(StringIO())
    left = home.cache / ".kwok-v1-abc"
    left.mkdir(parents=True)
    assert build.installed(home, "example.com/kwok", "v1", shown).exists()
    assert not left.exists()


@pytest.mark.parametrize(
    ("version", "fetches"),
    [
        pytest.param("go1.19.8", "", id="too-old-to-fetch-another"),
        pytest.param("go1.24.1", "local", id="forbidden-to-fetch-another"),
        pytest.param("", "", id="broken"),
    ],
)
def test_instead_of_an_unfit_go_another_is_fetched(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch, version: str, fetches: str
) -> None:
    monkeypatch.setenv("GO_VERSION", version)
    monkeypatch.setenv("GO_FETCHES", fetches)
    uv = tmp_path / "programs/uv"
    uv.write_text("#!/bin/sh\necho no such package >&2; exit 2")
    uv.chmod(0o755)
    with pytest.raises(Problem, match=r"no fit Go here(.|\n)*no such package"):
        build.kube(state.Home(tmp_path), Progress(StringIO()))
    uv.write_text(f'#!/bin/sh\nfor to; do [ "$last" = --target ] && break; last=$to; done\n{UNPACKED_GO}')
    monkeypatch.setenv("GO", str(tmp_path / "programs/go"))
    assert build.kube(state.Home(tmp_path), Progress(StringIO())).executable.exists()
    assert build.kube(state.Home(tmp_path), Progress(StringIO())).executable.exists()


def test_a_go_that_fetches_newer_ones_will_do(tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GO_VERSION", "go1.21.0")
    monkeypatch.setenv("GO_FETCHES", "auto")
    assert build.kube(state.Home(tmp_path), Progress(StringIO())).executable.exists()


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
def test_certificates_are_good_for_their_use_and_for_no_other(tmp_path: Path) -> None:
    directory = tmp_path / "pki"
    clients = (
        pki.Client("admin", "kubernetes-admin", "system:masters"),
        pki.Client("front-proxy", "front-proxy", authority="front-proxy-ca"),
    )
    pki.create(directory, clients, ("127.0.0.1",))

    def is_good(name: str, *words: str, authority: str = "ca") -> bool:
        command: list[str | Path] = [
            "openssl",
            "verify",
            "-x509_strict",
            "-CAfile",
            directory / f"{authority}.crt",
            *words,
        ]
        return subprocess.run([*command, directory / f"{name}.crt"], capture_output=True, check=False).returncode == 0

    assert is_good("kube-apiserver", "-purpose", "sslserver", "-verify_ip", "127.0.0.1")
    assert not is_good("kube-apiserver", "-purpose", "sslclient")
    assert is_good("admin", "-purpose", "sslclient")
    assert not is_good("admin", "-purpose", "sslserver")
    assert is_good("front-proxy", "-purpose", "sslclient", authority="front-proxy-ca")
    assert not is_good("front-proxy", "-purpose", "sslclient")
