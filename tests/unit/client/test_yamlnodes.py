"""YAML as nodes: values as kubectl reads them, places, doubts, and files that can't be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.client.yamlnodes import Broken, Node, Place, Yaml

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cn", "Cs")), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def one(text: str) -> Node:
    """The only document of the text."""
    (node,) = Yaml(text).documents()
    return node


@given(VALUES.filter(lambda value: value is not None))
def test_what_json_writes_is_read_as_the_same(value: Any) -> None:
    for indent in (None, 2):
        assert one(json.dumps(value, ensure_ascii=False, indent=indent)).value == value


@given(st.dictionaries(WORDS, VALUES) | st.lists(WORDS))
def test_json_of_ascii_alone_is_read_as_the_same(value: Any) -> None:
    assert one(json.dumps(value)).value == value


@given(st.dictionaries(WORDS, VALUES, min_size=1, max_size=5), st.integers(1, 4))
def test_every_key_and_value_stands_where_its_text_begins(value: dict[str, Any], indent: int) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    lines, node = text.split("\n"), one(text)
    for key, place in node.keys.items():
        assert lines[place.line - 1][place.column - 1 :].startswith(json.dumps(key, ensure_ascii=False))
        at = node.inner[key].place
        begun = json.dumps(value[key], ensure_ascii=False, indent=indent).split("\n")[0]
        assert lines[at.line - 1][at.column - 1 :].startswith(begun)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: {y: y, n: ~}", {"a": {"true": True, "false": None}}),
        ("[on, OFF, Yes, no]", [True, False, True, False]),
        ("[2020-01-01, 1:30, =]", ["2020-01-01", "1:30", "="]),
        ("[010, 0o7, 0x1F, 0b11, 1_000, +1, -5, 1e3, .5]", [8, 7, 31, 3, 1000, 1, -5, 1000.0, 0.5]),
        ("{5: x, 1.5: z}", {"5": "x", "1.5": "z"}),
        ('["no", \'8\', "~"]', ["no", "8", "~"]),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {p: 1, q: 1}\nb: {q: 2, <<: *x}", {"a": {"p": 1, "q": 1}, "b": {"p": 1, "q": 2}}),
        ("- &x {p: 1}\n- &y {p: 2, q: 2}\n- <<: [*x, *y]", [{"p": 1}, {"p": 2, "q": 2}, {"p": 1, "q": 2}]),
        ('{\n\t"a": "b\\/c"\n}', {"a": "b/c"}),
        ('{"a": "\\ud83d\\uDE00, \\\\ud83d\\\\ude00"}', {"a": "😀, \\ud83d\\ude00"}),
        ("a: \\ud83d\\ude00", {"a": "\\ud83d\\ude00"}),
        ("a: |\n  b\n", {"a": "b\n"}),
    ],
)
def test_words_mean_what_they_mean_to_kubectl(text: str, value: Any) -> None:
    assert one(text).value == value


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a:\n\t- b", (2, 1), "tabs can't indent"),
        ("a: [1", (2, 1), "did not find expected"),
        ("a: b: c", (1, 5), "must stand in quotes"),
        ("a: @x", (1, 4), "put it in quotes"),
        ("a: x\n\nb: \x00", (3, 4), "U+0000"),
        ("a: &x [*x]", (1, 8), 'no anchor "x"'),
        ("a: *q", (1, 4), 'no anchor "q"'),
        ('{"a": "\\ud83d"}', (1, 10), "write the character itself"),
        ('a: "\\ud83d\\ude00"', (1, 7), "write the character itself"),
        ("a: {{ .Values.b }}", (1, 5), "helm template"),
        ("? [a]\n: b", (1, 3), "a key must be text"),
        ("null: 1", (1, 1), "this one is null"),
        ("a: .nan", (1, 4), "no form for"),
        ("a: !!binary aGk=", (1, 4), "!!binary has no meaning"),
        ("a: {<<: 1}", (1, 9), "takes a mapping"),
        ("[" * 100_000, (1, 102), "100 levels"),
        ("- " * 100_000, (1, 203), "100 levels"),
        ("a0: &a0 [x]\n" + "".join(f"a{n + 1}: &a{n + 1} [*a{n}, *a{n}]\n" for n in range(40)), (16, 12), "aliases"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_its_place(text: str, place: tuple[int, int], words: str) -> None:
    with pytest.raises(Broken) as broken:
        list(Yaml(text).documents())
    assert words in str(broken.value)
    assert broken.value.place == Place(*place)


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("a: 1\nb: 2\na: 3", (3, 1), 'the key "a" stands here twice (first in line 1)'),
        ("a: no", (1, 4), 'the word no means false in YAML 1.1: write "no" in quotes, or false'),
        ("on: 1", (1, 1), 'the key on means true in YAML 1.1: write "on" in quotes'),
    ],
)
def test_what_is_hardly_meant_is_doubted(text: str, place: tuple[int, int], words: str) -> None:
    source = Yaml(text)
    assert len(list(source.documents())) == 1
    (doubt,) = source.doubts
    assert (doubt.message, doubt.place) == (words, Place(*place))


@pytest.mark.parametrize("text", ["a: true", "a: 'no'", 'a: "on"', "a: null", "a: 1\nb: {a: 2}", "", "---\n---\n# x"])
def test_what_is_clear_is_not_doubted(text: str) -> None:
    source = Yaml(text)
    list(source.documents())
    assert source.doubts == []


@given(st.text(max_size=60) | st.text("[]{}:-&*<>!|'\"\n\t #?,a1", max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str) -> None:
    told, place = "nothing", Place(1, 1)
    try:
        list(Yaml(text).documents())
    except Broken as broken:
        told, place = str(broken), broken.place
    assert told
    assert place >= Place(1, 1)
