"""The mirrors, proxies and certificates of this machine, as a shell script for the build. Used by engines.

A build step sources the script and forgets it: it gets there as a secret mount, and what it unpacks goes at the step's
end. So an image built behind a company's proxy is the same as one built in the open.
"""

import configparser
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

# The Debian that the images stand on.
SUITE = "trixie"
# Inside the build step, which sees no other user; gone at its end.
UNPACKED = "/tmp/build-settings"  # noqa: S108 - a name in the container
END = "END-OF-BUILD-SETTINGS"

CA_VARIABLES = (
    "SSL_CERT_FILE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
)
# Where distributions keep the bundle of the certificates that the machine trusts, below /etc.
CA_BUNDLES = ("ssl/certs/ca-certificates.crt", "pki/tls/certs/ca-bundle.crt", "ssl/ca-bundle.pem", "ssl/cert.pem")
PASSED_ON = re.compile(
    r"(?i:https?_proxy|no_proxy|all_proxy)"
    r"|PIP_(INDEX_URL|EXTRA_INDEX_URL|TRUSTED_HOST|DEFAULT_TIMEOUT)"
    r"|UV_(DEFAULT_INDEX|INDEX|INDEX_URL|EXTRA_INDEX_URL|INSECURE_HOST|HTTP_TIMEOUT|INDEX_\w+_(USERNAME|PASSWORD))"
    r"|(?i:npm_config_registry)"
)
NPM_LINES = re.compile(r"(registry|https?-proxy|proxy|noproxy|strict-ssl|@[\w-]+:registry|//\S+?)\s*=")
PIP_KEYS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout")
DEBIAN_MIRROR = re.compile(r"https?://[^\s\]]*/debian/?(?=\s|$)")


def script(environ: Mapping[str, str], home: Path, *, etc: Path = Path("/etc")) -> str:
    """The script to source: exports for what this machine has, and nothing for what it has not."""
    bundle = ca_bundle(environ, etc)
    exports = dict(pip_exports(home, etc))
    exports |= {name: value for name, value in environ.items() if PASSED_ON.fullmatch(name)}
    files = {
        "npmrc": "".join(f"{line}\n" for line in npm_lines(home)),
        "uv/uv.toml": _text(home / ".config/uv/uv.toml") or _text(etc / "uv/uv.toml"),
        "ca.crt": bundle.read_text() if bundle else "",
        "sources.list": sources_list(environ, etc),
        "apt.conf": "\n".join(apt_lines(own_mirror=bool(mirror(environ, etc)), has_bundle=bundle is not None)),
    }
    lines = [f"mkdir -p {UNPACKED}/uv", f"trap 'rm -rf {UNPACKED}' EXIT"]
    lines += [_write(name, text) for name, text in files.items() if text]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in sorted(exports.items())]
    lines += [f"export XDG_CONFIG_HOME={UNPACKED}"] if files["uv/uv.toml"] else []
    lines += [f"export NPM_CONFIG_USERCONFIG={UNPACKED}/npmrc"] if files["npmrc"] else []
    lines += [f"export APT_CONFIG={UNPACKED}/apt.conf"] if files["apt.conf"] else []
    lines += [f"export {name}={UNPACKED}/ca.crt" for name in CA_VARIABLES if bundle]
    return "\n".join(lines) + "\n"


def ca_bundle(environ: Mapping[str, str], etc: Path = Path("/etc")) -> Path | None:
    """The file of the certificates that this machine trusts: what the environment names, else the distribution's."""
    named = (Path(environ[name]) for name in CA_VARIABLES if environ.get(name))
    usual = (etc / name for name in CA_BUNDLES)
    return next((path for path in (*named, *usual) if path.is_file()), None)


def pip_exports(home: Path, etc: Path) -> Iterator[tuple[str, str]]:
    """What pip's configuration files say about indexes, as the variables of pip and of uv."""
    for path in (etc / "pip.conf", home / ".pip/pip.conf", home / ".config/pip/pip.conf"):
        parser = configparser.RawConfigParser()
        parser.read(path)
        for key in PIP_KEYS:
            if value := " ".join(parser.get("global", key, fallback="").split()):
                yield f"PIP_{key.upper().replace('-', '_')}", value
                if key.endswith("index-url"):
                    yield f"UV_{key.upper().replace('-', '_')}", value


def npm_lines(home: Path) -> Iterator[str]:
    """The lines of the user's npm configuration that are about registries; paths of this machine stay here."""
    return (line for line in _text(home / ".npmrc").splitlines() if NPM_LINES.match(line))


def mirror(environ: Mapping[str, str], etc: Path = Path("/etc")) -> str:
    """The Debian mirror: $DEBIAN_MIRROR, else the one of this machine's apt if it runs Debian; empty if it has none."""
    if named := environ.get("DEBIAN_MIRROR"):
        return named.rstrip("/")
    found = next(filter(None, map(DEBIAN_MIRROR.search, apt_sources(etc))), None)
    return found[0].rstrip("/") if found else ""


def apt_sources(etc: Path) -> list[str]:
    """The lines of apt's sources on a Debian, without comments; none elsewhere."""
    if not re.search(r"(?m)^ID=debian$", _text(etc / "os-release")):
        return []
    paths = (etc / "apt/sources.list", *sorted((etc / "apt").glob("sources.list.d/*")))
    lines = (line for path in paths for line in _text(path).splitlines())
    return [line for line in lines if not line.lstrip().startswith("#")]


def sources_list(environ: Mapping[str, str], etc: Path) -> str:
    """apt's sources for the build, where this machine has a mirror; else the base image's own are right."""
    if not (near := mirror(environ, etc)):
        return ""
    lines = [f"deb {near} {SUITE} main"]
    if any(f"{near}-security" in line for line in apt_sources(etc)):
        lines.append(f"deb {near}-security {SUITE}-security main")
    return "".join(f"{line}\n" for line in lines)


def apt_lines(*, own_mirror: bool, has_bundle: bool) -> Iterator[str]:
    """apt's configuration for the build."""
    if own_mirror:
        yield f'Dir::Etc::sourcelist "{UNPACKED}/sources.list"; Dir::Etc::sourceparts "/dev/null";'
    if has_bundle:
        yield f'Acquire::https::CAInfo "{UNPACKED}/ca.crt";'
    yield from apt_proxies()


def apt_proxies() -> Iterator[str]:
    """The proxies that apt is configured with here."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return
    yield from (line for line in dump.splitlines() if re.match(r'Acquire::https?::Proxy\S* "[^"]+";', line))


def _write(name: str, text: str) -> str:
    return f"cat > {UNPACKED}/{name} <<'{END}'\n{text.rstrip()}\n{END}"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
