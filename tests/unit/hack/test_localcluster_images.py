"""hack/cluster: which images an archive holds, and under which names a node asks for them."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from console.problems import Problem
from localcluster import images


def an_archive(path: Path, **files: object) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in files.items():
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(name.replace("_", "."))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


def an_index(name: str) -> dict[str, object]:
    return {"manifests": [{"digest": "sha256:0", "annotations": {"org.opencontainers.image.ref.name": name}}]}


@pytest.mark.parametrize(
    ("name", "full"),
    [
        ("time:dev", "docker.io/library/time:dev"),
        ("time", "docker.io/library/time:latest"),
        ("me/time:1", "docker.io/me/time:1"),
        ("localhost/time:1", "localhost/time:1"),
        ("localhost:5000/time", "localhost:5000/time:latest"),
        ("registry.example/me/time@sha256:00", "registry.example/me/time@sha256:00"),
    ],
)
def test_a_name_is_completed_as_a_node_does_it(name: str, full: str) -> None:
    assert images.full_name(name) == full


def test_names_in_a_docker_archive_are_found(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "a.tar", manifest_json=[{"RepoTags": ["time:dev", "git:dev"]}])
    assert images.names(archive) == ("docker.io/library/time:dev", "docker.io/library/git:dev")


def test_the_name_in_an_oci_archive_is_found(tmp_path: Path) -> None:
    archive = an_archive(tmp_path / "a.tar", index_json=an_index("time:dev"))
    assert images.names(archive) == ("docker.io/library/time:dev",)


def test_an_archive_of_both_formats_has_each_name_once(tmp_path: Path) -> None:
    index = an_index("docker.io/library/time:dev")
    archive = an_archive(tmp_path / "a.tar", manifest_json=[{"RepoTags": ["time:dev"]}], index_json=index)
    assert images.names(archive) == ("docker.io/library/time:dev",)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"manifest_json": [{"RepoTags": None}]}, id="docker, no tag"),
        pytest.param({"index_json": {"manifests": [{"digest": "sha256:0"}]}}, id="oci, no annotation"),
        pytest.param({"index_json": an_index("latest")}, id="oci, only a tag"),
        pytest.param({"readme_txt": "hello"}, id="no image at all"),
    ],
)
def test_an_archive_without_a_name_is_refused(tmp_path: Path, files: dict[str, object]) -> None:
    with pytest.raises(Problem, match="has a name"):
        images.names(an_archive(tmp_path / "a.tar", **files))


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_text("no")
    with pytest.raises(Problem, match="no image archive"):
        images.names(tmp_path / "a.tar")


def test_a_written_image_runs_its_executable(tmp_path: Path) -> None:
    executable = tmp_path / "pause"
    executable.write_bytes(b"\x7fELF")
    archive = tmp_path / "a.tar"
    images.write(archive, name="localhost/pause:1", executable=executable)
    assert images.names(archive) == ("localhost/pause:1",)
    with tarfile.open(archive) as tar:
        config = json.load(tar.extractfile("config.json") or io.BytesIO())
        with tarfile.open(fileobj=tar.extractfile("layer.tar")) as layer:
            assert layer.getmember("pause").mode == 0o755
    assert config["config"]["Entrypoint"] == ["/pause"]
