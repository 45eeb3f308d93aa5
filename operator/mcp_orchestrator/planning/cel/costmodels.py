"""What each function of CEL costs at most, by the sizes of its arguments. Called by `cost`.

The figures are about twice what was measured, in nanoseconds and bytes. A function that is not here can't be used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

MAX_REPEAT = 1000
"""How often RE2 lets a part of a pattern be repeated: x{1000}."""
_REPEATED = re.compile(r"(\))?\{(\d{0,9}),?(\d{0,9})\}")
_ITEM = 32.0
"""Bytes of an item of a list."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Time and memory."""

    nanoseconds: float
    bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Size:
    """At most how large a value is, or `count` values together."""

    nodes: float = 1.0
    """Values in it, itself among them."""
    chars: float = 0.0
    """Characters of all texts in it, those of keys among them."""
    length: float = 0.0
    """Items of a list or an object: the longest one of the `count` values."""
    inner: float = 0.0
    """Items of the longest list or object inside it."""
    longest: float = 0.0
    """Characters of the longest text in it."""
    number: float = math.inf
    """The number that it is, where that is known."""
    count: float = 1.0

    @property
    def text(self) -> float:
        """Characters, if it is a text."""
        return min(self.chars, self.longest * self.count)

    @property
    def rounds(self) -> float:
        """Rounds of a macro over it."""
        return min(self.nodes, self.length * self.count)

    def part(self) -> Size:
        """Any value inside of it."""
        return Size(self.nodes, self.chars, self.inner, self.inner, self.longest, math.inf, self.count)

    def single(self) -> Size:
        """Any one of the `count` values."""
        return Size(self.nodes, self.chars, self.length, self.inner, self.longest, self.number)

    def with_more(self, other: Size, times: float = 1.0) -> Size:
        """A value with the parts of both."""
        return Size(
            self.nodes + other.nodes * times,
            self.chars + other.chars * times,
            self.length + other.length * times,
            max(self.inner, other.inner, other.length),
            max(self.longest, other.longest),
            math.inf,
            max(self.count, other.count),
        )


Modelled = tuple[Size, Cost]
Model = Callable[[Sequence[Size]], Modelled]
NOTHING = Size()


def access(size: Size) -> Cost:
    """Reading a value: texts are copied each time."""
    return Cost(size.text, 0.0)


def given(size: Size) -> Cost:
    """Making values of CEL of what an expression reads."""
    return Cost(600 * size.nodes + 2 * size.chars, 100 * size.nodes + 2 * size.chars)


def output(size: Size) -> Cost:
    """Making a value of Python of the result."""
    return Cost(1000 * size.nodes + 2 * size.chars, 150 * size.nodes + 4 * size.chars)


def literal(parts: Sequence[Size]) -> Modelled:
    """A list or a map."""
    whole = NOTHING
    for part in parts:
        whole = whole.with_more(part)
    listed = Size(whole.nodes, whole.chars, len(parts), max(whole.inner, 0.0), whole.longest, math.inf, whole.count)
    return listed, Cost(50.0 * len(parts), 2 * _ITEM * len(parts))


def appending(length: float) -> Cost:
    """Adding one item to a list, which is copied."""
    return Cost(16 * length, _ITEM / 2 * length)


def keys(size: Size) -> Cost:
    """Putting the keys of an object in order, should it be one: in Python, and with all that is in it."""
    return Cost(1500 * size.nodes + 2 * size.chars, 150 * size.nodes + 2 * size.chars)


def sequence(length: float) -> Modelled:
    """lists.range."""
    return Size(length + 1, 0.0, length), Cost(40 * length, _ITEM * length)


def instructions(pattern: str) -> float:
    """At most how many instructions RE2 makes of a pattern."""
    added, factor = 0.0, 1.0
    for group, least, most in _REPEATED.findall(pattern):
        times = min(MAX_REPEAT, max(int(least or 0), int(most or 0)))
        added, factor = (added, factor * max(1, times)) if group else (added + times * 8, factor)
    return (len(pattern) + added) * min(factor, MAX_REPEAT)


def regex(function: str, sizes: Sequence[Size], program: float) -> Modelled:
    """matches and the regex functions, by the number of their pattern's instructions."""
    text = sizes[0].text
    searched = Cost(8 * text * (program + 4) + 500 * program)
    if function == "matches":
        return NOTHING, searched
    if function == "regex.replace":
        put = sizes[2].text
        return _replaced(text, put, searched)
    found = Size(text + 1, text, text + 1, 0.0, sizes[0].longest, count=sizes[0].count)
    return found, Cost(searched.nanoseconds + 200 * text, _ITEM * 2 * text)


def _replaced(text: float, put: float, searched: Cost) -> Modelled:
    length = text + (text + 1) * put
    return Size(chars=length, longest=length), Cost(searched.nanoseconds + 3 * length, 2 * length)


# --- models by kind --------------------------------------------------------------------------------------------------


def unknown(sizes: Sequence[Size]) -> Modelled:
    """A function that there is no model of."""
    return NOTHING, Cost(math.inf, math.inf)


def _scalar(sizes: Sequence[Size]) -> Modelled:
    return Size(chars=64, longest=64), Cost(100 + 5 * sum(size.text for size in sizes))


def _equal(sizes: Sequence[Size]) -> Modelled:
    # Each value is compared with one of the other side, and no further than the shorter of the two goes.
    count = max(size.count for size in sizes)
    return NOTHING, Cost(min((20 * size.nodes + size.chars) * count / size.count for size in sizes))


def _in(sizes: Sequence[Size]) -> Modelled:
    item, items = sizes
    compared = min(items.chars * max(1.0, item.count / items.count), items.nodes * item.chars)
    return NOTHING, Cost(15 * items.nodes + compared)


def _search(sizes: Sequence[Size]) -> Modelled:
    text, part = sizes[0].text, sizes[1].text
    return NOTHING, Cost(5 * (text + part) + 0.02 * text * part)


def _either(sizes: Sequence[Size]) -> Modelled:
    whole = sizes[0]
    for size in sizes[1:]:
        whole = replace(
            whole.with_more(size), length=max(whole.length, size.length), inner=max(whole.inner, size.inner)
        )
    return whole, Cost(0.0)


def _added(sizes: Sequence[Size]) -> Modelled:
    left, right = sizes
    whole = Size(
        left.nodes + right.nodes,
        left.chars + right.chars,
        left.length + right.length,
        max(left.inner, right.inner),
        left.longest + right.longest,
        math.inf,
        max(left.count, right.count),
    )
    return whole, Cost(2 * whole.text + 50 * whole.rounds, 2 * whole.text + _ITEM * whole.rounds)


def _indexed(sizes: Sequence[Size]) -> Modelled:
    part = sizes[0].part()
    return part, Cost(access(part).nanoseconds + 2 * sizes[1].text)


def _same(sizes: Sequence[Size]) -> Modelled:
    return sizes[0], Cost(0.0)


def _part(sizes: Sequence[Size]) -> Modelled:
    return sizes[0].part(), Cost(0.0)


def _changed(sizes: Sequence[Size]) -> Modelled:
    """A text of about the same length, four bytes of base64 or quotes at most for each character."""
    length = sum(size.text for size in sizes) * 4 + 64
    return Size(chars=length, longest=length), Cost(3 * length, length)


def _replace(sizes: Sequence[Size]) -> Modelled:
    return _replaced(sizes[0].text, sizes[2].text, _search(sizes)[1])


def _split(sizes: Sequence[Size]) -> Modelled:
    text = sizes[0].text
    parts = Size(text + 2, text, text + 2, 0.0, sizes[0].longest, count=sizes[0].count)
    return parts, Cost(80 * text + _search(sizes)[1].nanoseconds, _ITEM * text)


def _join(sizes: Sequence[Size]) -> Modelled:
    between = sizes[1].text if len(sizes) > 1 else 0.0
    length = sizes[0].chars + sizes[0].rounds * between
    return Size(chars=length, longest=length), Cost(2 * length + 50 * sizes[0].rounds, 2 * length)


def _format(sizes: Sequence[Size]) -> Modelled:
    # A precision is 1000 at most, and a number in binary has 64 digits.
    length = 2 * sum(size.chars for size in sizes) + 64 * sizes[1].nodes + 1000 * sizes[0].text
    return Size(chars=length, longest=length), Cost(5 * length, 2 * length)


def _reordered(sizes: Sequence[Size]) -> Modelled:
    rounds = sizes[0].rounds
    return sizes[0], Cost(50 * rounds * math.log2(rounds + 2) + 300 * rounds + sizes[0].chars, 4 * _ITEM * rounds)


def _flattened(sizes: Sequence[Size]) -> Modelled:
    nodes = sizes[0].nodes
    flat = Size(nodes, sizes[0].chars, nodes, sizes[0].inner, sizes[0].longest, count=sizes[0].count)
    return flat, Cost(500 * nodes, 4 * _ITEM * nodes)


def _sets(sizes: Sequence[Size]) -> Modelled:
    left, right = sizes
    return NOTHING, Cost(30 * left.rounds * right.nodes + left.rounds * right.chars)


def _encoded(sizes: Sequence[Size]) -> Modelled:
    # A character is six at most: \u0001.
    length = 6 * sizes[0].chars + 32 * sizes[0].nodes
    return Size(chars=length, longest=length), Cost(
        3000 * sizes[0].nodes + 5 * length, 200 * sizes[0].nodes + 2 * length
    )


def _decoded(sizes: Sequence[Size]) -> Modelled:
    text = sizes[0].text
    return Size(text / 2 + 1, text, text / 2 + 1, text / 2 + 1, text), Cost(5000 + 300 * text, 32 * text)


_OF_MODEL: Mapping[Model, str] = {
    _scalar: "!_ -_ _-_ _*_ _/_ _%_ _&&_ _||_ @not_strictly_false type bool int uint double duration timestamp size "
    "getDate getDayOfMonth getDayOfWeek getDayOfYear getFullYear getHours getMilliseconds getMinutes getMonth "
    "getSeconds startsWith endsWith charAt hasValue optional.none math.abs math.bitAnd math.bitNot math.bitOr "
    "math.bitShiftLeft math.bitShiftRight math.bitXor math.ceil math.floor math.isFinite math.isInf math.isNaN "
    "math.round math.sign math.sqrt math.trunc time.format time.parse",
    _equal: "_==_ _!=_ _<_ _<=_ _>_ _>=_",
    _in: "@in",
    _search: "contains indexOf lastIndexOf",
    _either: "_?_:_ or orValue math.@max math.@min",
    _added: "_+_",
    _indexed: "_[_] _?._ _[?_]",
    _same: "dyn optional.of optional.ofNonZeroValue value",
    _part: "first last",
    _changed: "base64.encode base64.decode string bytes lowerAscii upperAscii trim substring strings.quote",
    _replace: "replace",
    _split: "split",
    _join: "join",
    _format: "format",
    _reordered: "sort @sortByAssociatedKeys distinct slice reverse",
    _flattened: "flatten",
    _sets: "sets.contains sets.equivalent sets.intersects",
    _encoded: "json.encode",
    _decoded: "json.decode",
    # Reckoned with more than the sizes, in `cost`.
    unknown: "matches regex.extract regex.extractAll regex.replace lists.range",
}
MODELS: Mapping[str, Model] = {name: model for model, names in _OF_MODEL.items() for name in names.split()}
SMALL = frozenset(
    name
    for model in (_scalar, _equal, _in, _either, _added, _indexed, _same, _part, _changed)
    for name in _OF_MODEL[model].split()
)
"""Functions whose costs and results are no larger than a few times their arguments."""
