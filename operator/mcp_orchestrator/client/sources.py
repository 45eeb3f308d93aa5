"""Files and directories, read into objects of ours that know where their fields stand. Used by the commands."""

from __future__ import annotations

import difflib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_orchestrator.api import crds
from mcp_orchestrator.api.base import API_VERSION, GROUP
from mcp_orchestrator.client.exits import Failed
from mcp_orchestrator.client.findings import Finding, Rule, Severity
from mcp_orchestrator.client.yamlnodes import Broken, Node, Place, Yaml
from mcp_orchestrator.planning import mistakes

ENDINGS = (".yaml", ".yml", ".json")
STANDARD_INPUT = "-"
MAX_BYTES = 8 * 2**20
KINDS = {kind.name: kind for kind in crds.KINDS}


@dataclass(frozen=True, slots=True)
class Document:
    """An object of ours in a file."""

    file: str
    root: Node
    kind: crds.Kind

    @property
    def body(self) -> dict[str, Any]:
        """The object as JSON."""
        body: dict[str, Any] = self.root.value
        return body

    @property
    def namespace(self) -> str:
        """The namespace that the object names; empty where that is left to whoever applies it."""
        return str(self.metadata.get("namespace") or "")

    @property
    def directory(self) -> str:
        """Where the file lies."""
        return os.path.dirname(self.file)

    @property
    def metadata(self) -> dict[str, Any]:
        """Its metadata, empty where that is no mapping."""
        found = self.body.get("metadata")
        return found if isinstance(found, dict) else {}

    def place(self, path: str, *, of_key: bool = False) -> Place:
        """Where the field of that path stands, or the nearest field that it would stand in."""
        node, here, place = self.root, "", self.root.place
        while here != path:
            for key, inner in node.inner.items():
                where = mistakes.at(here, key).removeprefix(".")
                if path == where or path.startswith((f"{where}.", f"{where}[")):
                    at_key = of_key and path == where and isinstance(key, str)
                    place = node.keys[key] if at_key and isinstance(key, str) else inner.place
                    node, here = inner, where
                    break
            else:
                break
        return place

    def finding(self, path: str, message: str, rule: str, severity: Severity = Severity.ERROR) -> Finding:
        """A finding about the field of that path."""
        place = self.place(path, of_key=rule == Rule.UNKNOWN_FIELD)
        return Finding(self.file, place.line, place.column, severity, path, message, rule)


@dataclass(slots=True)
class Sources:
    """What stands in the files that were given."""

    files: list[str] = field(default_factory=list)
    """Those that hold objects of ours, or should."""
    documents: list[Document] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    """What belongs to others, in words."""
    others: list[dict[str, Any]] = field(default_factory=list)
    """Objects of other kinds, such as Secrets."""


def read(names: Iterable[str]) -> Sources:
    """Read the files, and what lies in the directories. Raises Failed where there is nothing to read."""
    found = Sources()
    for name in names:
        mode = 0 if name == STANDARD_INPUT else _mode(name)
        if stat.S_ISDIR(mode):
            for file in _below(Path(name), found):
                _take(file, found, named=False)
        else:
            _take(name, found, named=True)
    if not found.files:
        raise Failed(f"none of the files holds an object of {API_VERSION}")
    return found


def _mode(name: str) -> int:
    try:
        return os.stat(name).st_mode
    except FileNotFoundError:
        raise Failed(f"there is no file or directory {name}") from None
    except OSError as error:
        raise Failed(f"{name} can't be read: {error.strerror or error}") from None


def _below(directory: Path, found: Sources) -> Iterator[str]:
    """The files of a directory that may hold objects, in order; hidden ones are left out, and links not followed."""

    def closed(error: OSError) -> None:
        found.files.append(str(error.filename))
        message = f"the directory can't be read: {error.strerror or error}"
        found.findings.append(_about(str(error.filename), Place(), message, Rule.UNREADABLE))

    for parent, inner, files in os.walk(directory, onerror=closed):
        inner[:] = sorted(name for name in inner if not name.startswith(".") and name != "node_modules")
        yield from (
            str(Path(parent, name)) for name in sorted(files) if name.endswith(ENDINGS) and not name.startswith(".")
        )


def _take(file: str, found: Sources, *, named: bool) -> None:
    """Add what a file holds; one that was not given by name, and has nothing to do with us, is passed over."""
    if file in found.files:
        return
    raw = b""
    try:
        raw = _bytes(file)
        source = Yaml(_text(raw))
        documents, findings = _documents(file, source, found)
    except Broken as error:
        if not named and raw and GROUP.encode() not in raw:
            found.skipped.append(f"{file}: it can't be read, and does not mention {GROUP}")
            return
        documents, findings = [], [_about(file, error.place, str(error), Rule.UNREADABLE)]
    if documents:
        for doubt in source.doubts:
            rule = Rule.DUPLICATE_KEY if doubt.duplicate else Rule.AMBIGUOUS_WORD
            severity = Severity.ERROR if doubt.duplicate else Severity.WARNING
            findings.append(_about(file, doubt.place, doubt.message, rule, severity))
    elif named and not findings:
        message = f"it holds no object of {API_VERSION}"
        findings = [_about(file, Place(), message, Rule.NOTHING_HERE)]
    if documents or findings:
        found.files.append(file)
        found.documents += documents
        found.findings += findings


def _bytes(file: str) -> bytes:
    try:
        if file == STANDARD_INPUT and sys.stdin is None:
            raise Broken("standard input is closed", Place())
        if file == STANDARD_INPUT:
            raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        else:
            with Path(file).open("rb") as opened:
                raw = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Broken(f"it can't be read: {error.strerror or error}", Place()) from None
    if len(raw) > MAX_BYTES:
        raise Broken(f"it has more than {MAX_BYTES >> 20} MiB", Place())
    return raw


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        place = Place(before.count(b"\n") + 1, len(before) - before.rfind(b"\n"))
        raise Broken("it is not UTF-8 from here on: save it as UTF-8", place) from None


def _documents(file: str, source: Yaml, found: Sources) -> tuple[list[Document], list[Finding]]:
    documents, findings = [], []
    for top in source.documents():
        for node in _objects(top):
            value = node.value if isinstance(node.value, dict) else {}
            version, name = str(value.get("apiVersion", "")), str(value.get("kind", ""))
            kind = KINDS.get(name)
            if version == API_VERSION and kind:
                documents.append(Document(file, node, kind))
            elif message := _nearly(version, name):
                findings.append(_about(file, node.place, message, Rule.UNKNOWN_KIND))
            else:
                found.others.append(value)
                found.skipped.append(f"{file}:{node.place.line}: {f'{name} of {version}' if name else 'no object'}")
    return documents, findings


def _objects(node: Node) -> Iterator[Node]:
    """The object itself, or those of a list."""
    items = node.inner.get("items")
    if items and str(node.value.get("kind", "")).endswith("List") and isinstance(items.value, list):
        yield from items.inner.values()
    else:
        yield node


def _nearly(version: str, name: str) -> str:
    """What is wrong with apiVersion and kind of an object that is meant to be ours; nothing if it is not."""
    if version == API_VERSION:
        hint = mistakes.suggestion(name, KINDS) or f"; there are {mistakes.listing(KINDS)}"
        return f"unknown kind {mistakes.quoted(name)}{hint}"
    group = version.partition("/")[0]
    close = difflib.SequenceMatcher(None, group, GROUP).ratio() > 0.85
    return f"unknown apiVersion {mistakes.quoted(version)}; write {API_VERSION}" if close and name in KINDS else ""


def _about(file: str, place: Place, message: str, rule: Rule, severity: Severity = Severity.ERROR) -> Finding:
    return Finding(file, place.line, place.column, severity, "", message, str(rule))
