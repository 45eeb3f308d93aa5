"""YAML as nodes that know where they stand. Used by sources.

Made from the parser's events, not from its own nodes: they recurse in C without a bound, and let duplicate keys pass.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from mcp_orchestrator.client import scalars
from mcp_orchestrator.planning import mistakes, plain

MAX_NODES = 100_000
"""Values of one file, those that aliases repeat counted each time."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING = "tag:yaml.org,2002:str"
_TYPED = frozenset(f"tag:yaml.org,2002:{name}" for name in ("int", "float", "bool", "null"))
_PROBLEMS = {
    "mapping values are not allowed in this context": 'text with ": " in it must stand in quotes, or this line is '
    "indented wrongly",
    "found character that cannot start any token": "text can't begin with this character: put it in quotes",
    "found undefined alias": "there is no such anchor before this alias",
    "found invalid Unicode character escape code": "this escape is no character: write the character itself",
}
# An even number of backslashes before it are backslashes themselves.
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a file; both count from 1."""

    line: int = 1
    column: int = 1


@dataclass(frozen=True, slots=True)
class Node:
    """A value, and where it stands."""

    value: Any
    place: Place
    inner: Mapping[str | int, Node] = field(default_factory=dict)
    keys: Mapping[str, Place] = field(default_factory=dict)
    """Where the keys stand, not their values."""
    size: int = 1


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that can be read, but hardly as it is meant."""

    place: Place
    message: str
    duplicate: bool = False


class Broken(ValueError):
    """The file can't be read; `place` says from where on."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


@dataclass(slots=True)
class Yaml:
    """A text of YAML documents, or of JSON. `doubts` is complete when the documents have been read."""

    text: str
    doubts: list[Doubt] = field(default_factory=list)
    _anchors: dict[str, Node] = field(default_factory=dict)
    _size: int = 0

    def documents(self) -> Iterator[Node]:
        """The documents, but for empty ones. Raises Broken."""
        try:
            events = _Loader(_without_pairs(self.text))
            while events.check_event():
                event = events.get_event()
                if isinstance(event, yaml.DocumentStartEvent):
                    self._anchors.clear()
                    node = self._node(events, events.get_event(), 0)
                    if node.value is not None:
                        yield node
        except yaml.MarkedYAMLError as error:
            raise Broken(*self._in_words(error)) from None
        except yaml.reader.ReaderError as error:
            message = f"the character U+{ord(_character(error)):04X} can't stand in YAML"
            raise Broken(message, self._place_of(_character(error))) from None

    def _node(self, events: Any, event: Any, depth: int) -> Node:
        place = _place(event)
        if depth > plain.MAX_DEPTH:
            raise Broken(f"it has more than {plain.MAX_DEPTH} levels of lists and objects", place)
        if isinstance(event, yaml.AliasEvent):
            found = self._anchors.get(event.anchor or "")
            if found is None:
                raise Broken(f'there is no anchor "{event.anchor}" before this alias', place)
        elif isinstance(event, yaml.ScalarEvent):
            found = Node(self._scalar(event, place), place)
        elif isinstance(event, yaml.SequenceStartEvent):
            found = self._sequence(events, place, depth)
        else:
            found = self._mapping(events, place, depth)
        self._size += found.size if isinstance(event, yaml.AliasEvent) else 1
        if self._size > MAX_NODES:
            raise Broken(f"it has more than {MAX_NODES} values, those that aliases repeat counted", place)
        if event.anchor and not isinstance(event, yaml.AliasEvent):
            self._anchors[event.anchor] = found
        return found

    def _sequence(self, events: Any, place: Place, depth: int) -> Node:
        inner = []
        while not isinstance(event := events.get_event(), yaml.SequenceEndEvent):
            inner.append(self._node(events, event, depth + 1))
        size = 1 + sum(node.size for node in inner)
        return Node([node.value for node in inner], place, dict(enumerate(inner)), size=size)

    def _mapping(self, events: Any, place: Place, depth: int) -> Node:
        own: dict[str | int, Node] = {}
        keys: dict[str, Place] = {}
        merged: list[Node] = []
        while not isinstance(event := events.get_event(), yaml.MappingEndEvent):
            key, where = self._key(event), _place(event)
            node = self._node(events, events.get_event(), depth + 1)
            if key == "<<" and not event.style:
                merged += _to_merge(node)
                continue
            if key in own:
                message = f"the key {mistakes.quoted(key)} stands here twice (first in line {keys[key].line})"
                self.doubts.append(Doubt(where, message, duplicate=True))
            own[key], keys[key] = node, where
        for other in merged:  # what is there already wins: the mapping's own, then the earlier ones
            own, keys = {**other.inner, **own}, {**other.keys, **keys}
        value = {key: node.value for key, node in own.items()}
        return Node(value, place, own, keys, 1 + sum(node.size for node in own.values()))

    def _key(self, event: Any) -> str:
        place = _place(event)
        if not isinstance(event, yaml.ScalarEvent):
            hint = (
                "; render a template first: helm template … | mcp-orchestrator validate -" if "{{" in self.text else ""
            )
            raise Broken(f"a key must be text{hint}", place)
        if not _is_plain(event):
            return sys.intern(event.value)
        try:
            key = scalars.key(event.value)
        except scalars.NotJson as error:
            raise Broken(str(error), place) from None
        if key is None:
            raise Broken("a key must be text, and this one is null", place)
        self._doubt(event.value, "key ", place)
        return sys.intern(key)

    def _scalar(self, event: Any, place: Place) -> scalars.Scalar:
        if event.tag and event.tag not in _TYPED and event.tag not in (_STRING, "!"):
            raise Broken(f"the tag {event.tag.replace('tag:yaml.org,2002:', '!!')} has no meaning here", place)
        if not _is_plain(event) and event.tag not in _TYPED:
            return str(event.value)
        try:
            value = scalars.plain(event.value)
        except scalars.NotJson as error:
            raise Broken(str(error), place) from None
        self._doubt(event.value, "", place)
        return value

    def _doubt(self, word: str, what: str, place: Place) -> None:
        if meant := scalars.surprise(word):
            message = f'the {what or "word "}{word} means {meant} in YAML 1.1: write "{word}" in quotes'
            self.doubts.append(Doubt(place, message if what else f"{message}, or {meant}"))

    def _in_words(self, error: yaml.MarkedYAMLError) -> tuple[str, Place]:
        mark, problem = error.problem_mark or error.context_mark, error.problem or "it can't be read"
        if mark is None:
            return problem, Place()
        line = self.text.splitlines()[mark.line] if mark.line < len(self.text.splitlines()) else ""
        if line[mark.column : mark.column + 1] == "\t":
            words = "tabs can't indent in YAML: use spaces"
        else:
            words = _PROBLEMS.get(problem) or ": ".join(part for part in (error.context, problem) if part)
        return words, Place(mark.line + 1, mark.column + 1)

    def _place_of(self, character: str) -> Place:
        before = self.text.partition(character)[0]
        return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _without_pairs(text: str) -> str:
    """JSON writes a character beyond U+FFFF as two escapes, which YAML does not know: as the one that it knows.

    What follows in the same line moves two columns to the left.
    """
    return _PAIR.sub(_whole, text) if text.lstrip()[:1] in ("{", "[") else text


def _whole(pair: re.Match[str]) -> str:
    character = bytes.fromhex(pair[2] + pair[3]).decode("utf-16-be")
    return f"{pair[1]}\\U{ord(character):08X}"


def _to_merge(node: Node) -> list[Node]:
    found = list(node.inner.values()) if isinstance(node.value, list) else [node]
    for one in found:
        if not isinstance(one.value, dict):
            raise Broken("<< takes a mapping, or a list of mappings", one.place)
    return found


def _is_plain(event: yaml.ScalarEvent) -> bool:
    return not event.style and not event.tag


def _character(error: yaml.reader.ReaderError) -> str:
    return error.character if isinstance(error.character, str) else chr(error.character)


def _place(event: Any) -> Place:
    return Place(event.start_mark.line + 1, event.start_mark.column + 1)
