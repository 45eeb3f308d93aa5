"""hack/image: the whole command against a stand-in for the docker program, and the advice where nothing can build."""

import json
import os
from pathlib import Path

import pytest

from imagebuild import catalogue, engines, program

# Notes its arguments; `save` writes a file, `build` fails when the test asks for it.
DOCKER = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$1" in
build)
    echo "#7 [toolchain 2/4] RUN something long"
    if [ -e "$CALLS.broken" ]; then echo "no space left"; exit 9; fi ;;
save) echo archive > "$3" ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with a small checkout and a docker that answers; the file that docker's calls are noted in."""
    for name in {name for image in catalogue.IMAGES for name in image.inputs} | {"pyproject.toml"}:
        file = tmp_path / "checkout" / (name if name != "operator" else "operator/code.py")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text('project.version = "1.2.3"\n')
    monkeypatch.setattr(program, "ROOT", tmp_path / "checkout")
    docker = tmp_path / "bin/docker"
    docker.parent.mkdir()
    docker.write_text(DOCKER)
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "calls"


def verbs(calls: Path) -> list[str]:
    return [line.split()[0] for line in calls.read_text().splitlines()]


def test_a_build_leaves_an_archive_of_each_image(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["build"]) == 0
    told = capsys.readouterr().out
    for image in catalogue.IMAGES:
        assert (program.cache_directory() / image.archive).read_text() == "archive\n"
        assert f"✓ image       {image.reference}" in told
    assert verbs(calls) == ["info", "build", "save", "build", "save"]
    assert "--build-arg BASE=mcp-orchestrator:dev" in calls.read_text()
    assert calls.read_text().count("--build-arg VERSION=1.2.3") == 1


def test_a_second_build_of_the_same_inputs_does_nothing(calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.main(["build"])
    calls.unlink()
    assert program.main(["build"]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert {"build", "save"}.isdisjoint(verbs(calls))


def test_a_change_of_code_builds_the_image_and_what_stands_on_it(calls: Path) -> None:
    program.main(["build"])
    calls.unlink()
    (program.ROOT / "operator/code.py").write_text("changed\n")
    assert program.main(["build"]) == 0
    assert verbs(calls).count("build") == 2


def test_fresh_builds_again_without_caches(calls: Path) -> None:
    program.main(["build", "--only", "mcp-orchestrator"])
    calls.unlink()
    assert program.main(["build", "--only", "mcp-orchestrator", "--fresh"]) == 0
    assert "--no-cache" in calls.read_text()
    assert "--pull" in calls.read_text()


def test_archives_go_where_they_are_wanted(calls: Path, tmp_path: Path) -> None:
    assert program.main(["build", "--only", "mcp-orchestrator", "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/mcp-orchestrator-dev.tar").exists()
    assert "mcp-demo-servers" not in calls.read_text()


def test_a_failed_build_shows_the_end_of_the_log_and_keeps_no_stamp(
    calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{calls}.broken").touch()
    assert program.main(["build"]) == 1
    told = capsys.readouterr().err
    assert "no space left" in told
    assert "failed with exit code 9" in told
    assert "build.log" in told
    Path(f"{calls}.broken").unlink()
    assert program.main(["build"]) == 0


def test_the_settings_of_the_machine_are_private_and_gone_after_the_build(calls: Path) -> None:
    program.main(["build"])
    [secret] = {word.removeprefix("id=build-settings,src=") for word in calls.read_text().split() if "src=" in word}
    assert not Path(secret).exists()


def test_the_stamp_of_an_image_depends_on_its_base(calls: Path) -> None:
    program.main(["build"])
    stamps = [
        json.loads((program.cache_directory() / f"{image.archive}.json").read_text()) for image in catalogue.IMAGES
    ]
    own = catalogue.digest(catalogue.IMAGES[1], program.ROOT, salt=stamps[0]["digest"])
    assert stamps[1]["digest"] == own


@pytest.mark.parametrize(
    ("missing", "platform", "root", "expected"),
    [
        pytest.param([], "darwin", False, ["Start Docker"], id="no-linux"),
        pytest.param(["buildah"], "linux", True, ["apt-get install buildah", "docker info"], id="root-without-apt"),
        pytest.param(["buildah", "debootstrap"], "linux", False, ["install buildah debootstrap", "sudo -E"], id="user"),
        pytest.param([], "linux", False, ["sudo -E hack/image build"], id="user-with-programs"),
    ],
)
def test_a_machine_that_cannot_build_is_told_how_to(
    missing: list[str], platform: str, root: bool, expected: list[str]
) -> None:
    advice = engines.advice(missing, platform=platform, root=root)
    assert all(text in advice for text in expected)
    assert "install" not in advice or missing
