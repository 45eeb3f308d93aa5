"""How long an expression could take, and how much memory, before it is evaluated. Called by `engine`.

cel-cpp bounds the rounds of macros and nothing else: neither the time nor the memory of what happens in one round. So
both are reckoned beforehand, from the syntax tree and the sizes of the values that it reads, as the API server does it
for the CEL of CRDs. The bound depends on nothing but these, so that the same run always comes to the same end. Its
figures were measured, see docs/decisions/0002-cel-expressions.md.

A macro over many items is reckoned twice: all rounds with items of no size, and one round with an item as large as
all of them together. Together that is more than what the rounds cost, since no cost grows slower than the sizes do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from mcp_orchestrator.planning.cel import costmodels, reading
from mcp_orchestrator.planning.cel.costmodels import NOTHING, Cost, Size
from mcp_orchestrator.planning.cel.paths import Path
from mcp_orchestrator.planning.cel.syntaxtree import Call, Constant, Literal, Loop, Name, Node, Select

MAX_STEPS = 10_000
"""Rounds of all macros (map, filter, exists …) of one evaluation: cel-cpp's own bound."""
MAX_MACROS = 4
"""Macros over items inside each other."""
NO_ITEMS = Literal((), "")
"""What bind and optMap go over, which are no loops."""
MAX_NANOSECONDS = 1e9
MAX_BYTES = 128 * 2**20
"""Of one evaluation, at most."""
_VISIT = 100.0
"""Nanoseconds for each node of the tree, whatever it does."""

Measure = Callable[[Path], Size]
"""Tells the size of what a path leads to."""


def is_too_much(cost: Cost) -> str:
    """Why an expression of this cost is not evaluated, or nothing."""
    if cost.nanoseconds > MAX_NANOSECONDS:
        return f"it could take {_told(cost.nanoseconds / 1e9)} s, and {MAX_NANOSECONDS / 1e9:g} s is the most"
    if cost.bytes > MAX_BYTES:
        return f"it could take {_told(cost.bytes / 2**20)} MiB of memory, and {MAX_BYTES >> 20} MiB is the most"
    return ""


def bound(tree: Node, reads: Iterable[Path], measure: Measure) -> Cost:
    """At most what an evaluation costs, reading and result included, where paths lead to values of these sizes."""
    reckoning = _Reckoning(measure)
    for path in reads:
        reckoning.charge(costmodels.given(measure(path)), 1.0)
    reckoning.charge(costmodels.output(reckoning.visit(tree, {}, 1.0)), 1.0)
    return Cost(reckoning.nanoseconds, reckoning.bytes)


def is_small(node: Node) -> bool:
    """Whether the cost grows no faster than the values: there is no macro and no function that makes much of little."""
    match node:
        case Loop():
            return False
        case Call(function, arguments):
            return function in costmodels.SMALL and all(map(is_small, arguments))
        case Select(operand):
            return is_small(operand)
        case Literal(parts):
            return all(map(is_small, parts))
        case _:
            return True


def missing(node: Node) -> str:
    """The first function, or message of protobuf, that there is no model of; or nothing."""
    match node:
        case Call(function) if function not in costmodels.MODELS:
            return "transformMap" if function == "cel.@mapInsert" else function
        case Literal(_, message) if message:
            return message
    return next(filter(None, (missing(child) for child, _ in reading.children(node, frozenset()))), "")


def depth(node: Node) -> int:
    """How many macros over items stand inside each other."""
    inner = max((depth(child) for child, _ in reading.children(node, frozenset())), default=0)
    return inner + 1 if isinstance(node, Loop) and node.items != NO_ITEMS else inner


class _Reckoning:
    def __init__(self, measure: Measure) -> None:
        self.nanoseconds = 0.0
        self.bytes = 0.0
        self._measure = measure

    def charge(self, cost: Cost, times: float) -> None:
        """Add what is spent so many times."""
        self.nanoseconds += cost.nanoseconds * times
        self.bytes += cost.bytes * times

    def visit(self, node: Node, variables: Mapping[str, Size], times: float) -> Size:
        """The size of the node's value, having charged what it costs to evaluate it so many times."""
        self.charge(Cost(_VISIT), times)
        path = reading.path_of(node, frozenset(variables))
        if path and not path.asked:
            return self._read(self._measure(path), times)
        match node:
            case Constant(str() | bytes() as text):
                return Size(chars=len(text), longest=len(text))
            case Name(name):
                return self._read(variables.get(name, NOTHING), times)
            case Select(operand):
                return self._read(self.visit(operand, variables, times).part(), times)
            case Literal(parts):
                return self._spent(costmodels.literal([self.visit(part, variables, times) for part in parts]), times)
            case Call():
                return self._call(node, variables, times)
            case Loop():
                return self._loop(node, variables, times)
        return Size()

    def _read(self, size: Size, times: float) -> Size:
        self.charge(costmodels.access(size), times)
        return size

    def _spent(self, modelled: tuple[Size, Cost], times: float) -> Size:
        self.charge(modelled[1], times)
        return modelled[0]

    def _call(self, call: Call, variables: Mapping[str, Size], times: float) -> Size:
        sizes = [self.visit(argument, variables, times) for argument in call.arguments]
        if call.function in ("matches", "regex.extract", "regex.extractAll", "regex.replace"):
            program = self._pattern(call.arguments[1], sizes[1])
            return self._spent(costmodels.regex(call.function, sizes, program), times)
        if call.function == "lists.range":
            return self._spent(costmodels.sequence(self._highest(call.arguments[0], variables)), times)
        model = costmodels.MODELS.get(call.function, costmodels.unknown)
        return self._spent(model(sizes), times)

    def _loop(self, loop: Loop, variables: Mapping[str, Size], times: float) -> Size:
        items = self.visit(loop.items, variables, times)
        initial = self.visit(loop.initial, variables, times)
        if loop.items == NO_ITEMS:  # bind, optMap
            return self.visit(loop.result, {**variables, loop.accumulator: initial}, times)
        rounds = min(items.rounds, MAX_STEPS)
        # Where the items are those of many values together, each round sees but one of these values.
        outer = {name: size.single() if size.count <= items.count else size for name, size in variables.items()}
        together = replace(items.part(), count=max(1.0, rounds))
        grown = initial
        for item, repeated in ((NOTHING, rounds), (together, 1.0)):
            inside = {**outer, **dict.fromkeys(loop.names, item), loop.accumulator: NOTHING}
            total = min(times * repeated, max(times, MAX_STEPS))
            self.visit(loop.condition, inside, total)
            grown = grown.with_more(self.visit(loop.step, inside, total), repeated)
        if isinstance(loop.initial, Literal):  # map, filter: each round copies the list that it adds to
            self.charge(costmodels.keys(items), times)
            length = min(items.length, MAX_STEPS)
            self.charge(costmodels.appending(length), min(times * rounds, max(times, MAX_STEPS)))
            grown = replace(grown, length=length, count=items.count)
        return self.visit(loop.result, {**variables, loop.accumulator: grown}, times)

    def _pattern(self, node: Node, size: Size) -> float:
        """Instructions of the regular expression."""
        return (
            costmodels.instructions(node.value)
            if isinstance(node, Constant) and isinstance(node.value, str)
            else (size.chars * costmodels.MAX_REPEAT)
        )

    def _highest(self, node: Node, variables: Mapping[str, Size]) -> float:
        """The highest number that an expression of an integer can come to, as far as that is plain to see."""
        match node:
            case Constant(int() as number):
                return number
            case Call("size", (operand,)):
                size = _Reckoning(self._measure).visit(operand, variables, 1.0)
                return max(size.length, size.text)
            case Call("math.@min", operands):
                found = [self._highest(operand, variables) for operand in operands]
                return min(found, default=math.inf)
            case Call("_+_" | "math.@max", operands):
                return sum(max(0.0, self._highest(operand, variables)) for operand in operands)
            case Call("_-_" | "_/_" | "_%_", (operand, Constant(int() as number))) if number > 0:
                return self._highest(operand, variables)
            case Literal(parts):
                return min((self._highest(part, variables) for part in parts), default=math.inf)
        path = reading.path_of(node, frozenset(variables))
        return self._measure(path).number if path else math.inf


def _told(figure: float) -> str:
    return (
        "any number of"
        if math.isinf(figure)
        else "millions of"
        if figure > 1e6
        else f"{figure:.2g}"
        if figure < 100
        else f"{figure:.0f}"
    )
