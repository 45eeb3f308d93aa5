"""What expressions come to: values with their expressions filled in, and conditions. Called through the package."""

from __future__ import annotations

from typing import Any

from mcp_orchestrator.api import conditions
from mcp_orchestrator.planning import mistakes, plain
from mcp_orchestrator.planning.cel import engine
from mcp_orchestrator.planning.expressions import interpolation, scope
from mcp_orchestrator.planning.expressions.checks import incomplete
from mcp_orchestrator.planning.expressions.scope import Absent, ExpressionFailed, Scope
from mcp_orchestrator.planning.expressions.texts import bare, replace

MAX_TEXT = 4 * 1024 * 1024
"""Characters of a text with its expressions filled in."""
MAX_VALUE = 16 * 1024 * 1024
"""Characters of a whole value with its expressions filled in, as JSON."""


def evaluate(value: Any, variables: Scope) -> Any:
    """`value` with every expression in it replaced by what it comes to, as plain JSON. Raises ExpressionFailed."""
    if plain.too_deep(value):
        raise ExpressionFailed(f"the value has more than {plain.MAX_DEPTH} levels of lists and objects")
    filling = _Filling(variables)
    filled = replace(value, filling.filled)
    if filling.made_deeper and plain.too_deep(filled):
        raise ExpressionFailed(f"the value would have more than {plain.MAX_DEPTH} levels of lists and objects")
    return filled


def test(text: str, variables: Scope) -> bool:
    """Whether a condition holds: a bare expression, true or false. Raises ExpressionFailed."""
    value = compute(text, variables)
    if isinstance(value, bool):
        return value
    raise ExpressionFailed(f"{_shown(bare(text).text)}: the value is {plain.kind(value)}, {_instead_of(value)}")


def compute(text: str, variables: Scope) -> Any:
    """The value of a bare expression, as plain JSON. Raises ExpressionFailed."""
    return _value(bare(text).text, variables)


class _Filling:
    """The strings of one value, each in its turn."""

    def __init__(self, variables: Scope) -> None:
        self._variables = variables
        self._room = MAX_VALUE
        self.made_deeper = False
        """Whether a list or an object has taken the place of a string."""

    def filled(self, text: str) -> Any:
        """What a string comes to. Raises ExpressionFailed."""
        try:
            pieces = interpolation.parts(text)
        except interpolation.Unclosed as error:
            raise ExpressionFailed(f"{_shown(text)}: {error.what}") from None
        code = interpolation.lone(pieces)
        value = _value(code.text, self._variables) if code else _joined(text, pieces, self._variables)
        self._room -= plain.weight(value)
        if self._room < 0:
            raise ExpressionFailed(f"{_shown(text)}: the whole value would have more than {MAX_VALUE >> 20} MiB")
        self.made_deeper = self.made_deeper or isinstance(value, dict | list)
        return value


def _joined(text: str, pieces: tuple[str | interpolation.Code, ...], variables: Scope) -> str:
    filled, room = [], MAX_TEXT
    for piece in pieces:
        words = piece if isinstance(piece, str) else plain.text(_value(piece.text, variables))
        room -= len(words)
        if room < 0:
            raise ExpressionFailed(f"{_shown(text)}: the text would have more than {MAX_TEXT >> 20} MiB")
        filled.append(words)
    return "".join(filled)


def _value(text: str, variables: Scope) -> Any:
    program = engine.compile(text, variables.roots)
    if not isinstance(program, engine.Program):
        raise ExpressionFailed(f"{_shown(text) or '${{ }}'}: {program[0].message}")
    for path in program.tree.paths:
        if message := incomplete(path):
            raise ExpressionFailed(f"{_shown(text)}: {message}")
    if program.tree.whole:
        # The most frequent kind: no conversion of a large result, and its numbers and order of keys stay as they are.
        return scope.checked(scope.follow(program.tree.whole, variables), _shown(text))
    data = scope.data(program.tree.paths, variables)
    try:
        value = engine.run(program, data.variables, data.measure)
    except engine.Failed as error:
        raise _explained(error, program, variables) from None
    # cel-cpp keeps no order of keys; a fixed one makes the same run give the same text.
    return plain.ordered(scope.checked(value, _shown(text)))


def _explained(error: engine.Failed, program: engine.Program, variables: Scope) -> ExpressionFailed:
    """The failure in the words of the path that it comes from, where there is one."""
    for path in program.tree.paths if error.absent is not None else ():
        try:
            scope.follow(path, variables)
        except Absent as absent:
            if error.absent in ("", str(absent.key)) and not path.tests(absent.depth):
                return absent
    return ExpressionFailed(f"{_shown(program.text)}: {error}")


def _instead_of(value: Any) -> str:
    match value:
        case str():
            remedy = 'compare it, as in … == "yes"'
        case int() | float():
            remedy = "compare it, as in … > 0"
        case None:
            remedy = "compare it, as in … != null"
        case _:
            remedy = "ask for its size, as in size(…) > 0"
    return f"and a condition must be true or false: {remedy}"


def _shown(text: str) -> str:
    return conditions.shorten(text, mistakes.MAX_QUOTED)
