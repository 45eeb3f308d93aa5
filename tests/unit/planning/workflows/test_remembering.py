"""Answers that are kept: never another model's, and not for ever."""

from __future__ import annotations

import gc
import weakref

from hypothesis import given
from hypothesis import strategies as st

from mcp_orchestrator.api.base import Model
from mcp_orchestrator.planning.workflows.remembering import SIZE, remembered


class Word(Model):
    """A model with something in it."""

    text: str


def test_the_same_model_is_asked_about_once_and_one_that_looks_the_same_again() -> None:
    asked: list[str] = []

    @remembered
    def length(word: Word, path: str = "spec") -> int:
        asked.append(path)
        return len(word.text)

    word = Word(text="four")
    assert [length(word), length(word), length(word, "other"), length(Word(text="four"))] == [4, 4, 4, 4]
    assert asked == ["spec", "other", "spec"]


@given(texts=st.lists(st.text(max_size=5), max_size=3 * SIZE))
def test_an_answer_is_never_that_of_a_model_that_is_gone(texts: list[str]) -> None:
    @remembered
    def text_of(word: Word) -> str:
        return word.text

    assert [text_of(Word(text=text)) for text in texts] == texts


def test_what_was_long_not_asked_about_is_forgotten() -> None:
    @remembered
    def text_of(word: Word) -> str:
        return word.text

    word = Word(text="first")
    gone = weakref.ref(word)
    text_of(word)
    del word
    gc.collect()
    assert gone() is not None
    for number in range(SIZE):
        text_of(Word(text=str(number)))
    gc.collect()
    assert gone() is None
