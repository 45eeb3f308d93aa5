"""What the cluster looked like when we last heard of it: slim records by kind and name, with indexes and listeners.

kopf's handlers, sweeps and our own writes fill it; reconcilers and the admission driver read it. No locks: one loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from mcp_orchestrator.cluster.resources import Object

IndexFunction: TypeAlias = Callable[[Any], Iterable[Hashable]]
Keys: TypeAlias = "list[Key]"
Records: TypeAlias = list[Any]
Listener: TypeAlias = Callable[["Key", Any, Any], None]

REMEMBERED_DELETIONS: Final = 16_384


class Key(NamedTuple):
    """An object's kind and name: what the work queue holds."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record and the facts about its object that the store itself needs. `version` 0 means unknown."""

    key: Key
    uid: str
    version: int
    record: Any


@dataclass(slots=True)
class _Table:
    """The entries of one kind."""

    slim: Callable[[Object], Any]
    index_functions: Mapping[str, IndexFunction]
    entries: dict[Key, Entry] = field(default_factory=dict)
    indexes: dict[str, dict[Hashable, dict[Key, None]]] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)  # namespace, or "" for all -> version of its newest list

    def is_older_than_list(self, key: Key, version: int) -> bool:
        """True if a list has shown all that there was at that version."""
        return 0 < version <= max(self.listed.get("", 0), self.listed.get(key.namespace, 0))

    def put(self, entry: Entry) -> Entry | None:
        """Set the entry, in the old one's place; the old one."""
        old = self.entries.get(entry.key)
        self.entries[entry.key] = entry
        for name, function in self.index_functions.items():
            before = set(function(old.record)) if old else set()
            after = set(function(entry.record))
            self._unindex(name, before - after, entry.key)
            for value in after - before:
                self.indexes[name].setdefault(value, {})[entry.key] = None
        return old

    def remove(self, key: Key) -> Entry | None:
        """Remove the entry; it, if there was one."""
        old = self.entries.pop(key, None)
        if old is not None:
            for name, function in self.index_functions.items():
                self._unindex(name, function(old.record), key)
        return old

    def _unindex(self, name: str, values: Iterable[Hashable], key: Key) -> None:
        index = self.indexes[name]
        for value in values:
            if (keys := index.get(value)) is not None:
                keys.pop(key, None)
                if not keys:
                    del index[value]


class Store:
    """Records of all kinds. Hold on to no record across an `await`, and change none: they are shared."""

    def __init__(self) -> None:
        self._tables: dict[str, _Table] = {}
        self._listeners: list[Listener] = []
        self._deleted: OrderedDict[str, float] = OrderedDict()  # UID -> the version at which it was gone

    def register(
        self,
        kind: str,
        *,
        slim: Callable[[Object], Any],
        indexes: Mapping[str, IndexFunction] | None = None,
    ) -> None:
        """Make room for a kind. `slim` makes a record of an object; an index function gives the values under which a
        record is found, and the same ones each time it is asked about one record.
        """
        functions = dict(indexes or {})
        self._tables[kind] = _Table(slim, functions, indexes={name: {} for name in functions})

    def listen(self, listener: Listener) -> None:
        """Call `listener(key, old, new)` after each change of a record, or of the object that it is of.

        `old` is None for a new object, `new` for a deleted one.
        """
        self._listeners.append(listener)

    def entry(self, kind: str, body: Object) -> Entry:
        """`body` made slim, for `replace`: so that a long list need not be in memory as it came.

        What is known already is not made again: a sweep that finds nothing new costs next to nothing.
        """
        key, uid, version = _identity(kind, body)
        present = self._tables[kind].entries.get(key)
        if present is not None and version and (present.uid, present.version) == (uid, version):
            return present
        return Entry(key, uid, version, self._tables[kind].slim(body))

    def upsert(self, kind: str, body: Object) -> bool:
        """Take in an object as a watch or a write has shown it. False if it is older than what we know."""
        if not self._is_news(*_identity(kind, body)):
            return False
        self._put(self.entry(kind, body))
        return True

    def delete(self, key: Key, uid: str = "", resource_version: str = "") -> bool:
        """Forget an object: what comes late of this UID, older than `resource_version`, can't bring it back.

        False if it was not there, if what is there is newer, or if it has another UID. Without a version the UID is
        gone for good; without a UID the object that is there is meant.
        """
        table = self._tables[key.kind]
        present = table.entries.get(key)
        version = _number(resource_version) or float("inf")
        if uid:
            self._remember_deleted(uid, version)
        if present is None or (uid and present.uid != uid) or present.version > version:
            return False
        self._remove(key, version)
        return True

    def gone(self, kind: str, body: Object) -> bool:
        """`delete` of an object, as a watch has shown it last."""
        return self.delete(_identity(kind, body)[0], body["metadata"]["uid"], body["metadata"]["resourceVersion"])

    def replace(self, kind: str, items: Iterable[Object | Entry], resource_version: str, namespace: str = "") -> Keys:
        """Take in a whole list (of one namespace, if given) and forget what is missing from it. The changed keys.

        An object that is missing but newer than the list stays: it was made after the list was.
        """
        changed: Keys = []
        seen: set[Key] = set()
        for item in items:
            entry = item if isinstance(item, Entry) else self.entry(kind, item)
            seen.add(entry.key)
            if self._is_news(entry.key, entry.uid, entry.version):
                self._put(entry)
                changed.append(entry.key)
        table, version = self._tables[kind], _number(resource_version)
        for key, present in list(table.entries.items()):
            if key in seen or (namespace and key.namespace != namespace) or present.version > version:
                continue
            self._remove(key, version)
            changed.append(key)
        table.listed[namespace] = max(version, table.listed.get(namespace, 0))
        return changed

    def get(self, key: Key) -> Any:
        """The record, or None."""
        entry = self._tables[key.kind].entries.get(key)
        return None if entry is None else entry.record

    def uid(self, key: Key) -> str:
        """The UID of the object of that name, or ""."""
        entry = self._tables[key.kind].entries.get(key)
        return "" if entry is None else entry.uid

    def keys(self, kind: str) -> Keys:
        """All keys of a kind, in the order of their arrival."""
        return list(self._tables[kind].entries)

    def list(self, kind: str) -> Records:
        """All records of a kind."""
        return [entry.record for entry in self._tables[kind].entries.values()]

    def select_keys(self, kind: str, index: str, value: Hashable) -> Keys:
        """Keys of the records that the index has under `value`."""
        return [*self._tables[kind].indexes[index].get(value, ())]

    def select(self, kind: str, index: str, value: Hashable) -> Records:
        """Records that the index has under `value`."""
        table = self._tables[kind]
        return [table.entries[key].record for key in table.indexes[index].get(value, ())]

    def count(self, kind: str, index: str = "", value: Hashable = None) -> int:
        """How many records there are: of the kind, or under `value` of an index."""
        table = self._tables[kind]
        return len(table.indexes[index].get(value, ())) if index else len(table.entries)

    def _is_news(self, key: Key, uid: str, version: int) -> bool:
        """Versions are numbers that grow with each write to any object of a kind, so they order two UIDs as well."""
        if uid in self._deleted and version <= self._deleted[uid]:
            return False
        table = self._tables[key.kind]
        present = table.entries.get(key)
        if present is None:
            return not table.is_older_than_list(key, version)
        return version == 0 or version > present.version

    def _put(self, entry: Entry) -> None:
        old = self._tables[entry.key.kind].put(entry)
        if old is not None and old.uid != entry.uid:
            self._remember_deleted(old.uid, float("inf"))
        elif old is not None and old.record == entry.record:
            return  # what changed is nothing that we keep
        self._tell(entry.key, old, entry)

    def _remove(self, key: Key, version: float) -> None:
        old = self._tables[key.kind].remove(key)
        if old is not None:
            self._remember_deleted(old.uid, version)
        self._tell(key, old, None)

    def _remember_deleted(self, uid: str, version: float) -> None:
        if not uid:
            return
        self._deleted[uid] = max(version, self._deleted.pop(uid, 0))
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)

    def _tell(self, key: Key, old: Entry | None, new: Entry | None) -> None:
        for listener in self._listeners:
            listener(key, old.record if old else None, new.record if new else None)


def _identity(kind: str, body: Object) -> tuple[Key, str, int]:
    metadata = body["metadata"]
    key = Key(kind, metadata.get("namespace", ""), metadata["name"])
    return key, metadata.get("uid", ""), _number(metadata.get("resourceVersion", ""))


def _number(resource_version: str) -> int:
    """The version as a number, 0 if there is none. Kubernetes promises since 1.35 that it is one."""
    return int(resource_version) if resource_version else 0
