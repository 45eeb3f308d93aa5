"""hack/image: what an image is made from, and when it has to be built again."""

import json
import re
from pathlib import Path

import pytest

from imagebuild import catalogue

ROOT = Path(__file__).resolve().parents[3]
IMAGE = catalogue.Image(name="thing", context=".", inputs=("Dockerfile", "code"))


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "code/a.py").write_text("a = 1\n")
    return tmp_path


def change_a_file(checkout: Path) -> None:
    (checkout / "code/a.py").write_text("a = 2\n")


def add_a_file(checkout: Path) -> None:
    (checkout / "code/b.py").write_text("")


def rename_a_file(checkout: Path) -> None:
    (checkout / "code/a.py").rename(checkout / "code/c.py")


def make_a_file_executable(checkout: Path) -> None:
    (checkout / "code/a.py").chmod(0o755)


@pytest.mark.parametrize("change", [change_a_file, add_a_file, rename_a_file, make_a_file_executable])
def test_a_change_of_an_input_changes_the_digest(checkout: Path, change: object) -> None:
    before = catalogue.digest(IMAGE, checkout, salt="")
    assert callable(change)
    change(checkout)
    assert catalogue.digest(IMAGE, checkout, salt="") != before


def test_another_base_or_engine_changes_the_digest(checkout: Path) -> None:
    assert catalogue.digest(IMAGE, checkout, salt="a") != catalogue.digest(IMAGE, checkout, salt="b")


def test_what_is_no_input_leaves_the_digest_alone(checkout: Path) -> None:
    before = catalogue.digest(IMAGE, checkout, salt="")
    (checkout / "notes.md").write_text("new")
    (checkout / "code/__pycache__").mkdir()
    (checkout / "code/__pycache__/a.cpython-313.pyc").write_bytes(b"new")
    assert catalogue.digest(IMAGE, checkout, salt="") == before


def test_one_image_is_built_after_its_base() -> None:
    assert [image.name for image in catalogue.selected("mcp-demo-servers")] == ["mcp-orchestrator", "mcp-demo-servers"]
    assert catalogue.selected(None) == catalogue.IMAGES


@pytest.mark.parametrize("image", [pytest.param(image, id=image.name) for image in catalogue.IMAGES])
def test_everything_that_a_dockerfile_copies_is_an_input_and_in_its_context(image: catalogue.Image) -> None:
    context = ROOT / image.context
    ignore = context / ".dockerignore"
    allowed = (
        {line[1:] for line in ignore.read_text().splitlines() if line.startswith("!")} if ignore.exists() else None
    )
    for line in re.findall(r"(?m)^COPY (?!--from)(.+)$", (context / "Dockerfile").read_text()):
        for source in line.split()[:-1]:
            assert (context / source).exists()
            assert str((context / source).relative_to(ROOT)) in image.inputs
            assert allowed is None or source in allowed


def test_the_npm_lock_names_no_registry() -> None:
    lock = json.loads((ROOT / "examples/servers/package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    assert all("integrity" in package for name, package in lock["packages"].items() if name)
