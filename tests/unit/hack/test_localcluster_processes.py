"""hack/cluster: processes are found after a crash, ended for good, and never confused with others."""

import dataclasses
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.waiting import PATIENCE_SECONDS

from console.problems import Problem
from localcluster import processes
from localcluster.processes import Process, Processes

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

SLEEP = shutil.which("sleep") or "sleep"
SHELL = shutil.which("sh") or "sh"


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Processes]:
    (tmp_path / "logs").mkdir()
    made = Processes(tmp_path / "processes", tmp_path / "logs", token=os.urandom(16).hex())
    yield made
    made.end()


def eventually(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end


def test_a_started_process_is_recorded_and_can_be_ended(cluster: Processes) -> None:
    process = cluster.start("sleeper", [SLEEP, "600"])
    assert process.is_alive()
    assert cluster.recorded() == (process,)
    cluster.end()
    assert not process.is_alive()
    assert cluster.dead() == ("sleeper",)


def test_a_process_whose_record_is_lost_is_found_by_its_token(cluster: Processes) -> None:
    process = cluster.start("sleeper", [SLEEP, "600"])
    shutil.rmtree(cluster.directory)
    eventually(lambda: [found.pid for found in cluster.all()] == [process.pid])
    cluster.end()
    assert not process.is_alive()


def test_what_a_process_started_ends_with_it(cluster: Processes) -> None:
    cluster.start("parent", [SHELL, "-c", f"{SLEEP} 600 & wait"])
    eventually(lambda: len(cluster.all()) == 2)
    cluster.end()
    assert cluster.all() == ()


def test_a_half_written_record_does_no_harm(cluster: Processes) -> None:
    process = cluster.start("sleeper", [SLEEP, "600"])
    (cluster.directory / "sleeper.json").write_text("{")
    cluster.end()
    assert not process.is_alive()


def test_another_process_with_a_recorded_id_is_left_alone(cluster: Processes) -> None:
    with subprocess.Popen([SLEEP, "600"]) as stranger:
        known = processes.identity(stranger.pid)
        assert known
        recorded = Process("etcd", stranger.pid, known[0] - 1)
        cluster.directory.mkdir()
        (cluster.directory / "etcd.json").write_text(
            f'{{"name": "etcd", "pid": {stranger.pid}, "started_ticks": {recorded.started_ticks}}}'
        )
        cluster.end()
        processes.kill([recorded])
        assert stranger.poll() is None
        processes.kill([dataclasses.replace(recorded, started_ticks=known[0])])
        assert stranger.wait(PATIENCE_SECONDS) < 0


def test_other_clusters_processes_are_left_alone(cluster: Processes, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Processes(tmp_path / "other", tmp_path / "other", token=os.urandom(16).hex())
    process = other.start("sleeper", [SLEEP, "600"])
    cluster.start("sleeper", [SLEEP, "600"])
    cluster.end()
    assert process.is_alive()
    other.end()


def test_a_process_that_ends_at_once_is_reported_with_its_log(cluster: Processes) -> None:
    process = cluster.start("etcd", [SHELL, "-c", "echo no such flag >&2; exit 1"])
    eventually(lambda: not process.is_alive())
    with pytest.raises(Problem, match=r"etcd ended at once(.|\n)*no such flag"):
        cluster.check()
