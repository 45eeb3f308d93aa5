"""hack/cluster: where clusters live, and what is recorded about them."""

import socket
from pathlib import Path

import pytest

from console.problems import Problem
from localcluster import state


@pytest.fixture
def home(tmp_path: Path) -> state.Home:
    return state.Home(tmp_path)


def test_a_record_comes_back_as_it_was_written(home: state.Home) -> None:
    record = state.Record("dev", "embedded", "real", ports={"etcd": 26000}, sysctls={"kernel/panic": "1"})
    place = home.cluster("dev")
    place.write(record)
    assert place.read() == record
    assert home.clusters() == (place,)


def test_where_nothing_was_recorded_there_is_no_cluster(home: state.Home) -> None:
    assert home.cluster("dev").read() is None
    assert home.clusters() == ()


def test_a_forgotten_cluster_leaves_nothing_and_can_be_forgotten_again(home: state.Home) -> None:
    place = home.cluster("dev")
    place.write(state.Record("dev", "embedded", "real"))
    place.logs.mkdir()
    (place.logs / "etcd.log").touch()
    place.forget()
    place.forget()
    assert not place.directory.exists()


@pytest.mark.parametrize("name", ["", "..", "a/b", "Dev", "-a", "a" * 40])
def test_a_name_that_is_no_safe_directory_is_refused(home: state.Home, name: str) -> None:
    with pytest.raises(Problem):
        home.cluster(name)


@pytest.mark.parametrize(
    ("named", "environ", "expected"),
    [
        pytest.param("/a", {"MCP_ORCHESTRATOR_CLUSTER_HOME": "/b"}, "/a", id="the flag first"),
        pytest.param(None, {"MCP_ORCHESTRATOR_CLUSTER_HOME": "/b", "XDG_CACHE_HOME": "/c"}, "/b", id="the variable"),
        pytest.param(None, {"XDG_CACHE_HOME": "/c"}, "/c/mcp-orchestrator", id="the cache"),
    ],
)
def test_the_home_is_found(named: str | None, environ: dict[str, str], expected: str) -> None:
    assert state.home(named, environ).root == Path(expected)


def test_two_clusters_never_get_the_same_port(home: state.Home) -> None:
    ports = state.free_ports(home)
    home.cluster("dev").write(state.Record("dev", "embedded", "real", ports=ports))
    assert set(ports) == set(state.PORT_NAMES)
    assert not set(ports.values()) & set(state.free_ports(home).values())


def test_a_port_that_a_process_listens_on_is_not_given_away(home: state.Home) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("", state.free_ports(home)["etcd"]))
        other.listen()
        assert other.getsockname()[1] not in state.free_ports(home).values()


def test_a_home_behind_a_symbolic_link_is_known_by_its_real_path(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert state.home(str(tmp_path / "link"), {}).root == tmp_path / "real"
