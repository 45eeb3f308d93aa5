"""hack/image: what a build is told about the machine, and that nothing of it stays."""

import subprocess
from pathlib import Path

import pytest

from imagebuild import debian, settings


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home and an /etc with nothing in them, and no apt."""
    (tmp_path / "home").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


def script(machine: Path, **environ: str) -> str:
    return settings.script(environ, machine / "home", etc=machine / "etc")


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def source(machine: Path, text: str, command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `command` prints in a step that sources the script first, unpacked below the test's directory."""
    unpacked = machine / "unpacked"
    path = write(machine / "build-settings", text.replace(settings.UNPACKED, str(unpacked)))
    monkeypatch.undo()
    done = subprocess.run(["sh", "-c", f". {path} && {command}"], capture_output=True, text=True, check=True, env={})
    assert not unpacked.exists()
    return done.stdout


def test_a_machine_without_settings_exports_none(machine: Path) -> None:
    assert "export" not in script(machine, HOME="/home/someone", LANG="C")


def test_the_bundle_that_the_environment_names_serves_every_tool(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write(machine / "company.pem", "-----BEGIN $HOME `id`-----\n")
    text = script(machine, SSL_CERT_FILE=str(bundle))
    for name in settings.CA_VARIABLES:
        assert str(bundle) not in text
        assert source(machine, text, f'cat "${name}"', monkeypatch) == "-----BEGIN $HOME `id`-----\n"


def test_without_one_in_the_environment_the_machines_own_bundle_is_taken(machine: Path) -> None:
    bundle = write(machine / "etc/ssl/certs/ca-certificates.crt", "trusted\n")
    assert settings.ca_bundle({"SSL_CERT_FILE": "/nowhere"}, machine / "etc") == bundle
    assert "trusted" in script(machine)


def test_proxies_and_indexes_are_passed_on_and_other_variables_are_not(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = script(machine, https_proxy="http://p:1", UV_DEFAULT_INDEX="http://i/ 'x'", KUBECONFIG="no")
    assert source(machine, text, 'echo "$https_proxy|$UV_DEFAULT_INDEX"', monkeypatch) == "http://p:1|http://i/ 'x'\n"
    assert "KUBECONFIG" not in text


def test_pips_index_serves_uv_too(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(machine / "etc/pip.conf", "[global]\nindex-url = http://old/simple\ncert = /some/file\n")
    write(machine / "home/.config/pip/pip.conf", "[global]\nindex-url = http://new/simple\n")
    text = script(machine)
    printed = source(machine, text, 'echo "$PIP_INDEX_URL|$UV_INDEX_URL"', monkeypatch)
    assert printed == "http://new/simple|http://new/simple\n"
    assert "/some/file" not in text


def test_of_npms_configuration_only_registries_are_taken(machine: Path) -> None:
    npmrc = "cafile=/here/ca.pem\nregistry=http://r/\n@team:registry=http://t/\n//r/:_authToken=x\nprefix=/here\n"
    write(machine / "home/.npmrc", npmrc)
    assert list(settings.npm_lines(machine / "home")) == [
        "registry=http://r/",
        "@team:registry=http://t/",
        "//r/:_authToken=x",
    ]


ONE_LINE = "# deb http://commented/debian x main\ndeb [arch=amd64] http://near/debian/ bookworm main\n"
DEB822 = "Types: deb\n# http://snapshot/archive/debian/2025\nURIs: https://near/debian\nSuites: bookworm\n"


@pytest.mark.parametrize(
    ("environ", "release", "sources", "expected"),
    [
        pytest.param({}, "debian", ONE_LINE, "http://near/debian", id="one-line-sources"),
        pytest.param({}, "debian", DEB822, "https://near/debian", id="deb822-sources"),
        pytest.param({}, "ubuntu", ONE_LINE, "", id="not-debian"),
        pytest.param({}, "debian", "", "", id="no-sources"),
        pytest.param({"DEBIAN_MIRROR": "http://mine/d/"}, "debian", ONE_LINE, "http://mine/d", id="told"),
    ],
)
def test_the_mirror_is_the_one_that_the_machine_uses(
    machine: Path, environ: dict[str, str], release: str, sources: str, expected: str
) -> None:
    write(machine / "etc/os-release", f'NAME="x"\nID={release}\n')
    write(machine / "etc/apt/sources.list.d/x.sources", sources)
    assert settings.mirror(environ, machine / "etc") == expected


def test_apt_is_told_about_another_mirror_and_only_about_another(machine: Path) -> None:
    assert "APT_CONFIG" not in script(machine)
    text = script(machine, DEBIAN_MIRROR="http://mine/debian")
    assert "deb http://mine/debian trixie main" in text
    assert f"export APT_CONFIG={settings.UNPACKED}/apt.conf" in text


def test_security_updates_come_from_the_mirror_that_this_machine_has_them_from(machine: Path) -> None:
    write(machine / "etc/os-release", "ID=debian\n")
    sources = write(machine / "etc/apt/sources.list", "deb http://near/debian bookworm main\n")
    assert settings.sources_list({}, machine / "etc") == "deb http://near/debian trixie main\n"
    sources.write_text(f"{sources.read_text()}deb http://near/debian-security bookworm-security main\n")
    assert "deb http://near/debian-security trixie-security main\n" in settings.sources_list({}, machine / "etc")


def test_an_image_names_the_mirror_that_is_debootstraps_default() -> None:
    told = debian.sources('DEF_MIRROR="http://everywhere/debian"\n')
    assert "URIs: http://everywhere/debian\nSuites: trixie trixie-updates\n" in told
    assert "URIs: http://everywhere/debian-security\nSuites: trixie-security\n" in told


@pytest.mark.parametrize("program", ["", 'DEF_MIRROR="http://elsewhere/ubuntu"\n'])
def test_a_debootstrap_without_a_default_for_debian_leaves_the_sources_alone(program: str) -> None:
    assert debian.sources(program) == ""


def test_debootstrap_gets_a_mirror_only_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert debian.command(tmp_path, {"DEBIAN_MIRROR": "http://mine/debian"})[-1] == "http://mine/debian"
    monkeypatch.setattr(settings, "mirror", lambda environ: "")
    assert debian.command(tmp_path, {})[-1] == str(tmp_path)
