"""hack/cluster: the whole command against stand-ins for docker, kind and kubectl, and what it advises."""

import json
import subprocess
from pathlib import Path

import pytest

from localcluster import cli, images, state, versions

# Each notes its arguments; a file that is named like a call and ends in .fails makes it fail.
STAND_IN = """#!/bin/sh
name=$(basename "$0")
echo "$name $*" >> "$CALLS"
if [ -e "$CALLS.$name.fails" ]; then echo "$name has a bad day" >&2; exit 9; fi
for words in "$CALLS.$name.answers"/*; do
    [ -e "$words" ] || continue
    case "$*" in *"$(basename "$words")"*) cat "$words"; exit ;; esac
done
case "$*" in
*/version*) echo '  "gitVersion": "v1.36.0",' ;;
*"config view"*) cat "$CALLS.context" ;;
esac
"""


SHA = f"sha256:{'0' * 64}"


class Machine:
    """A machine with a Docker daemon, kind and kubectl, none of them real."""

    def __init__(self, directory: Path) -> None:
        self.home = state.Home(directory / "home")
        self.calls = directory / "calls"
        self.programs = directory / "programs"
        tools = self.home.cache / f"tools-{versions.TOOLS_PACKAGE}-{versions.TOOLS_VERSION}"
        for path in (*(self.programs / name for name in ("docker", "kind", "uv")), tools / "kubectl", tools / "helm"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(STAND_IN)
            path.chmod(0o755)
        (tools / "versions.json").write_text(json.dumps({"helm": "4.3.1", "kubectl": "1.37.1"}))
        self.set_context("kind-mine")
        self.tools = tools

    def run(self, *arguments: str) -> int:
        return cli.main(["--home", str(self.home.root), *arguments])

    def called(self, program: str) -> list[str]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [line for line in lines if line.startswith(f"{program} ")]

    def breaks(self, program: str) -> None:
        self.calls.with_name(f"calls.{program}.fails").touch()

    def answers(self, program: str, words: str, answer: str) -> None:
        """From now on, calls of the program that contain these words print that."""
        directory = self.calls.with_name(f"calls.{program}.answers")
        directory.mkdir(exist_ok=True)
        (directory / words).write_text(answer)

    def set_context(self, name: str) -> None:
        self.calls.with_name("calls.context").write_text(json.dumps({"current-context": name}))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setenv("CALLS", str(made.calls))
    monkeypatch.setenv("PATH", f"{made.programs}:/usr/bin:/bin")
    return made


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "pause").write_bytes(b"\x7fELF")
    images.write(tmp_path / "image.tar", name="time:dev", executable=tmp_path / "pause")
    return tmp_path / "image.tar"


def test_where_docker_answers_kind_makes_the_cluster(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.run("up") == 0
    kubeconfig = machine.home.cluster("dev").kubeconfig
    assert machine.called("kind") == [
        f"kind create cluster --name mcp-orchestrator-dev --kubeconfig {kubeconfig} --wait 180s"
    ]
    assert "kind, Kubernetes 1.36.0" in capsys.readouterr().out


def test_a_healthy_cluster_is_not_made_again(machine: Machine) -> None:
    machine.run("up")
    assert machine.run("up") == 0
    assert len(machine.called("kind")) == 1


def test_a_broken_cluster_is_replaced(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    machine.breaks("kubectl")
    machine.run("up")
    assert [line.split()[1] for line in machine.called("kind")] == ["create", "delete", "create"]
    assert "kubectl has a bad day" in capsys.readouterr().out


def test_a_start_that_fails_leaves_no_cluster(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.breaks("kind")
    assert machine.run("up") == 1
    assert "kind has a bad day" in capsys.readouterr().err


def test_a_cluster_of_another_sort_is_not_replaced(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    assert machine.run("up", "--nodes", "fake") == 1
    assert "provider kind and real nodes" in capsys.readouterr().err


def test_a_cluster_without_an_audit_log_of_states_is_refused_to_whom_asks_for_one(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert machine.run("up", "--audit-states") == 1
    assert "kind keeps no audit log" in capsys.readouterr().err
    machine.run("up")
    assert machine.run("up", "--audit-states") == 1
    assert "does not tell the states of runs" in capsys.readouterr().err


def test_down_deletes_the_cluster_and_its_record(machine: Machine) -> None:
    machine.run("up")
    assert machine.run("down") == 0
    assert machine.called("kind")[-1].startswith("kind delete cluster --name mcp-orchestrator-dev")
    assert machine.run("status") == cli.NO_CLUSTER
    assert machine.run("down") == 0


def test_an_image_goes_to_kinds_nodes(machine: Machine, archive: Path) -> None:
    machine.run("up")
    assert machine.run("load-image", str(archive)) == 0
    assert machine.called("kind")[-1] == f"kind load image-archive {archive} --name mcp-orchestrator-dev"


def test_an_image_that_the_nodes_have_is_not_brought_again(
    machine: Machine, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.run("up")
    [digest] = images.contents(archive).values()
    machine.answers("docker", "images check", f"REF TYPE DIGEST STATUS SIZE UNPACKED\nr t {SHA} complete (2/2) 1 true")
    machine.answers("docker", "content get", json.dumps({"config": {"digest": digest}}))
    assert machine.run("load-image", str(archive)) == 0
    assert "(unchanged)" in capsys.readouterr().out
    assert not [line for line in machine.called("kind") if "load" in line]


def test_another_image_of_the_same_name_is_brought(machine: Machine, archive: Path) -> None:
    machine.run("up")
    machine.answers("docker", "images check", f"REF TYPE DIGEST STATUS SIZE UNPACKED\nr t {SHA} complete (2/2) 1 true")
    machine.answers("docker", "content get", json.dumps({"config": {"digest": SHA}}))
    assert machine.run("load-image", str(archive)) == 0
    assert "load image-archive" in machine.called("kind")[-1]


def test_a_shell_can_evaluate_what_env_prints(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    capsys.readouterr()
    assert machine.run("env") == 0
    script = capsys.readouterr().out
    shell = ["sh", "-c", f'{script}\necho "$KUBECONFIG"; command -v helm']
    printed = subprocess.run(shell, capture_output=True, text=True, check=True).stdout
    assert printed == f"{machine.home.cluster('dev').kubeconfig}\n{machine.tools / 'helm'}\n"


def test_the_current_context_is_taken_only_by_name_and_never_changed(machine: Machine) -> None:
    assert machine.run("up", "--provider", "current") == 0
    assert machine.run("down") == 0
    assert machine.called("kind") == []
    assert not [line for line in machine.called("kubectl") if "config view" not in line and " get " not in line]


def test_images_of_a_foreign_cluster_are_the_users_business(
    machine: Machine, archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.set_context("production")
    machine.run("up", "--provider", "current")
    assert machine.run("load-image", str(archive)) == 1
    assert "Push the image to a registry" in capsys.readouterr().err


def test_a_foreign_cluster_of_kinds_gets_images(machine: Machine, archive: Path) -> None:
    machine.run("up", "--provider", "current")
    assert machine.run("load-image", str(archive)) == 0
    assert machine.called("kind") == [f"kind load image-archive {archive} --name mine"]


def test_an_image_that_nobody_has_is_refused_with_advice(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    machine.breaks("docker")
    assert machine.run("load-image", "no-such-image:dev") == 1
    assert "hack/cluster load-image FILE.tar" in capsys.readouterr().err


def test_fake_nodes_are_not_kinds(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.run("up", "--provider", "kind", "--nodes", "fake") == 1
    assert "embedded" in capsys.readouterr().err


def test_without_go_and_without_an_index_it_says_how_to_get_it(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.breaks("uv")
    assert machine.run("up", "--nodes", "fake") == 1
    told = capsys.readouterr().err
    assert "uv has a bad day" in told
    assert "https://go.dev/dl" in told


def test_paths_are_alone_on_standard_output(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    capsys.readouterr()
    assert machine.run("kubeconfig") == 0
    assert machine.run("tools") == 0
    assert capsys.readouterr().out == f"{machine.home.cluster('dev').kubeconfig}\n{machine.tools}\n"


def test_status_is_there_for_programs(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.run("up")
    capsys.readouterr()
    assert machine.run("status", "--output", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["provider"], report["healthy"], report["version"]) == ("kind", True, "1.36.0")


def test_without_a_cluster_there_is_no_kubeconfig(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert machine.run("kubeconfig", "--name", "other") == 1
    assert "hack/cluster up --name other" in capsys.readouterr().err
