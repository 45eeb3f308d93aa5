"""The store against a model of a cluster whose news come late, twice, out of order or never."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.controllers import store
from mcp_orchestrator.controllers.store import Key

KIND = "WorkflowRun"
Object = dict[str, Any]


def an_object(name: str = "a", version: int = 1, uid: str = "u1", namespace: str = "team", **labels: str) -> Object:
    metadata = {"name": name, "namespace": namespace, "uid": uid, "resourceVersion": str(version), "labels": labels}
    return {"kind": KIND, "metadata": metadata}


def a_store(slim: Callable[[Object], Any] = copy.deepcopy, **options: Any) -> store.Store:
    subject = store.Store()
    subject.register(KIND, slim=slim, **options)
    return subject


def step_of(record: Object) -> list[str]:
    return [record["metadata"]["labels"]["step"]]


def owners_of(record: Object) -> list[str]:
    return [owner["uid"] for owner in record["metadata"].get("ownerReferences", ())]


def key(name: str = "a", namespace: str = "team") -> Key:
    return Key(KIND, namespace, name)


def test_news_replaces_what_was_known_and_old_news_does_not() -> None:
    subject = a_store()
    assert subject.upsert(KIND, an_object(version=10, step="two"))
    assert not subject.upsert(KIND, an_object(version=9, step="one"))
    assert not subject.upsert(KIND, an_object(version=10, step="two"))
    assert subject.get(key())["metadata"]["labels"] == {"step": "two"}
    assert subject.upsert(KIND, an_object(version=11, step="three"))
    assert subject.get(key())["metadata"]["labels"] == {"step": "three"}


def test_versions_are_compared_as_numbers() -> None:
    subject = a_store()
    subject.upsert(KIND, an_object(version=9))
    assert subject.upsert(KIND, an_object(version=10))


def test_late_news_of_a_predecessor_does_not_hide_its_successor() -> None:
    subject = a_store()
    subject.upsert(KIND, an_object(version=20, uid="new"))
    assert not subject.upsert(KIND, an_object(version=10, uid="old"))
    assert not subject.delete(key(), "old", "15")
    assert subject.uid(key()) == "new"


@pytest.mark.parametrize("version", [pytest.param("30", id="watched"), pytest.param("", id="seen-missing")])
def test_a_late_echo_does_not_bring_a_deleted_object_back(version: str) -> None:
    subject = a_store()
    subject.upsert(KIND, an_object(version=10))
    assert subject.delete(key(), "u1", version)
    assert not subject.upsert(KIND, an_object(version=11))
    assert subject.replace(KIND, [an_object(version=11)], "12") == []
    assert subject.get(key()) is None


def test_an_object_that_left_a_selector_may_come_back() -> None:
    subject = a_store()
    subject.upsert(KIND, an_object(version=10))
    subject.delete(key(), "u1", "30")
    assert subject.upsert(KIND, an_object(version=31))
    assert not subject.delete(key(), "u1", "30")
    assert subject.get(key()) is not None


def test_a_deletion_without_a_uid_means_the_one_that_is_there() -> None:
    subject = a_store()
    subject.upsert(KIND, an_object())
    assert subject.delete(key())
    assert not subject.delete(key())


def test_a_list_removes_what_is_missing_unless_it_is_newer_than_the_list() -> None:
    subject = a_store()
    for name, version in (("gone", 10), ("kept", 11), ("changed", 12), ("newer", 25)):
        subject.upsert(KIND, an_object(name, version, uid=name))
    items = [an_object("kept", 11, "kept"), an_object("changed", 19, "changed"), an_object("made", 18, "made")]
    assert set(subject.replace(KIND, items, "20")) == {key("gone"), key("changed"), key("made")}
    assert {found.name for found in subject.keys(KIND)} == {"kept", "changed", "made", "newer"}


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    subject = a_store()
    subject.upsert(KIND, an_object(namespace="mine", uid="1"))
    subject.upsert(KIND, an_object(namespace="other", uid="2"))
    assert subject.replace(KIND, [], "9", namespace="mine") == [key(namespace="mine")]
    assert subject.keys(KIND) == [key(namespace="other")]


def test_a_list_may_be_made_slim_page_by_page() -> None:
    subject = a_store(slim=lambda body: body["metadata"]["name"].upper())
    entries = [subject.entry(KIND, an_object(name, uid=name)) for name in "ab"]
    subject.replace(KIND, entries, "9")
    assert subject.list(KIND) == ["A", "B"]


def test_indexes_follow_changes_and_deletions() -> None:
    subject = a_store(indexes={"step": step_of, "owner": owners_of})
    owned = an_object("a", 1, "u1", step="one")
    owned["metadata"]["ownerReferences"] = [{"uid": "o1"}, {"uid": "o2"}]
    subject.upsert(KIND, owned)
    subject.upsert(KIND, an_object("b", 2, "u2", step="one"))
    assert subject.select_keys(KIND, "step", "one") == [key("a"), key("b")]
    assert [record["metadata"]["name"] for record in subject.select(KIND, "owner", "o2")] == ["a"]
    subject.upsert(KIND, an_object("a", 3, "u1", step="two"))
    assert subject.select_keys(KIND, "step", "one") == [key("b")]
    assert subject.select_keys(KIND, "owner", "o1") == []
    subject.delete(key("b"), "u2", "4")
    assert subject.count(KIND, "step", "one") == 0
    assert (subject.count(KIND), subject.count(KIND, "step", "two")) == (1, 1)


def test_a_listener_hears_what_was_and_what_is() -> None:
    subject = a_store(slim=lambda body: body["metadata"]["resourceVersion"])
    heard: list[tuple[Key, Any, Any]] = []
    subject.listen(lambda *change: heard.append(change))
    subject.upsert(KIND, an_object(version=1))
    subject.upsert(KIND, an_object(version=2))
    subject.upsert(KIND, an_object(version=2))
    subject.delete(key(), "u1", "3")
    assert heard == [(key(), None, "1"), (key(), "1", "2"), (key(), "2", None)]


def test_a_listener_hears_nothing_of_what_is_not_kept_but_of_another_object_of_the_same_looks() -> None:
    subject = a_store(slim=lambda body: body["metadata"]["labels"])
    heard: list[tuple[Key, Any, Any]] = []
    subject.upsert(KIND, an_object(version=1, uid="u1", step="one"))
    subject.listen(lambda *change: heard.append(change))
    subject.upsert(KIND, an_object(version=2, uid="u1", step="one"))
    assert heard == []
    subject.upsert(KIND, an_object(version=3, uid="u2", step="one"))
    subject.upsert(KIND, an_object(version=4, uid="u2", step="two"))
    assert heard == [(key(), {"step": "one"}, {"step": "one"}), (key(), {"step": "one"}, {"step": "two"})]


@dataclass
class Cluster:
    """The truth, and the news of it that are on their way."""

    objects: dict[str, Object] = field(default_factory=dict)
    version: int = 0
    news: list[tuple[str, Object]] = field(default_factory=list)
    lists: list[tuple[list[Object], str]] = field(default_factory=list)

    def write(self, name: str, step: str) -> None:
        self.version += 1
        uid = self.objects[name]["metadata"]["uid"] if name in self.objects else f"uid-{self.version}"
        self.objects[name] = an_object(name, self.version, uid, step=step)
        self.news.append(("MODIFIED", self.objects[name]))

    def delete(self, name: str) -> None:
        if name in self.objects:
            self.version += 1
            gone = self.objects.pop(name)
            metadata = {**gone["metadata"], "resourceVersion": str(self.version)}
            self.news.append(("DELETED", {**gone, "metadata": metadata}))

    def listed(self) -> tuple[list[Object], str]:
        return [*self.objects.values()], str(self.version)


NAMES = st.sampled_from("abc")
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.sampled_from(["one", "two"])),
        st.tuples(st.just("delete"), NAMES),
        st.tuples(st.just("deliver"), st.integers(0, 5), st.booleans()),
        st.tuples(st.just("lose"), st.integers(0, 5)),
        st.tuples(st.just("list")),
        st.tuples(st.just("deliver list"), st.integers(0, 3)),
    ),
    max_size=40,
)


def perform(cluster: Cluster, subject: store.Store, operation: tuple[Any, ...]) -> None:
    match operation:
        case ("write", name, step):
            cluster.write(name, step)
        case ("delete", name):
            cluster.delete(name)
        case ("deliver", index, again) if cluster.news:
            deliver(subject, *cluster.news[index % len(cluster.news)])
            if not again:
                del cluster.news[index % len(cluster.news)]
        case ("lose", index) if cluster.news:
            del cluster.news[index % len(cluster.news)]
        case ("list",):
            cluster.lists.append(cluster.listed())
        case ("deliver list", index) if cluster.lists:
            subject.replace(KIND, *cluster.lists.pop(index % len(cluster.lists)))
        case _:
            pass


def deliver(subject: store.Store, event: str, body: Object) -> None:
    metadata = body["metadata"]
    if event == "DELETED":
        subject.delete(key(metadata["name"]), metadata["uid"], metadata["resourceVersion"])
    else:
        subject.upsert(KIND, body)


@given(operations=OPERATIONS)
def test_whatever_is_lost_repeated_or_late_the_next_list_heals_and_nothing_goes_back(
    operations: list[tuple[Any, ...]],
) -> None:
    cluster, subject = Cluster(), a_store(indexes={"step": step_of})
    mirror: dict[Key, Any] = {}
    latest: dict[Key, int] = {}

    def listener(changed: Key, old: Any, new: Any) -> None:
        assert mirror.get(changed) == old
        mirror[changed] = new
        if new is not None:
            assert int(new["metadata"]["resourceVersion"]) > latest.get(changed, 0), "the store went back in time"
            latest[changed] = int(new["metadata"]["resourceVersion"])

    subject.listen(listener)
    for operation in operations:
        perform(cluster, subject, operation)
        assert {k: v for k, v in mirror.items() if v is not None} == {k: subject.get(k) for k in subject.keys(KIND)}
        for step in ("one", "two"):
            expected = {k for k in subject.keys(KIND) if subject.get(k)["metadata"]["labels"]["step"] == step}
            assert set(subject.select_keys(KIND, "step", step)) == expected
    subject.replace(KIND, *cluster.listed())
    assert {k.name: subject.get(k) for k in subject.keys(KIND)} == cluster.objects
    for event, body in cluster.news:  # the late ones change nothing more
        deliver(subject, event, body)
    assert {k.name: subject.get(k) for k in subject.keys(KIND)} == cluster.objects
