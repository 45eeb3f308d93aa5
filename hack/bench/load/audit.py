"""What was asked of the API server, when, and by whom: read from its audit log. Used by scenarios."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Call:
    """A request that was answered. Moments are seconds since 1970, to the microsecond, by the API server's clock."""

    received: float
    answered: float
    verb: str
    resource: str
    """With its subresource: `jobs`, `workflowruns/status`."""
    namespace: str
    name: str
    agent: str
    code: int
    body: Mapping[str, Any]
    """What was written, where the audit policy keeps it."""

    @property
    def is_write(self) -> bool:
        """Whether it may have changed something."""
        return self.verb not in ("get", "list", "watch")


def parse(line: bytes) -> Call | None:
    """The request that a line tells of; None for one that is not about an object, or not answered yet."""
    event = orjson.loads(line)
    about = event.get("objectRef")
    if event.get("stage") != "ResponseComplete" or not about:
        return None
    resource, part = about.get("resource", ""), about.get("subresource", "")
    return Call(
        received=_moment(event["requestReceivedTimestamp"]),
        answered=_moment(event["stageTimestamp"]),
        verb=event["verb"],
        resource=f"{resource}/{part}" if part else resource,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        agent=event.get("userAgent", "").partition("/")[0],
        code=event.get("responseStatus", {}).get("code", 0),
        body=event.get("requestObject") or {},
    )


def of_namespace(lines: Iterable[bytes], namespace: str) -> Iterator[Call]:
    """The requests of one namespace, in the order of their answers."""
    mark = f'"namespace":"{namespace}"'.encode()
    found = (parse(line) for line in lines if mark in line)
    return (call for call in found if call and call.namespace == namespace)


class AuditLog:
    """The files of an audit log, the one that grows and the earlier ones beside it, read on from where it ends now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = sum(path.stat().st_size for path in self._files())

    def news(self) -> Iterator[bytes]:
        """The lines that were written since the last time."""
        place = self._read
        for path in self._files():
            size = path.stat().st_size
            if place < size:
                with path.open("rb") as file:
                    file.seek(max(0, place))
                    for line in file:
                        if not line.endswith(b"\n"):
                            break  # it is being written
                        self._read += len(line)
                        yield line
            place -= size

    def _files(self) -> list[Path]:
        """Oldest first: the names of earlier ones have the moment at which they were put aside."""
        earlier = sorted(self._path.parent.glob(f"{self._path.stem}-*{self._path.suffix}"))
        return [*earlier, *([self._path] if self._path.exists() else [])]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
