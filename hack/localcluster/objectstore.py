"""An S3 server for tests: a real one, that checks signatures and keeps its objects as files."""

from pathlib import Path

from console.progress import Progress

from . import build, state, versions

MODULE = "github.com/versity/versitygw/cmd/versitygw"


def program(shown: Progress) -> Path:
    """The server's executable, compiled at the first use on a machine. Raises Problem."""
    home = state.home(None)
    home.cache.mkdir(parents=True, exist_ok=True)
    return build.installed(home, MODULE, versions.VERSITYGW, shown)
