"""The figures as a table. Used by the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.load.scenarios import SCENARIOS, Budget

Json = Mapping[str, Any]


def machine(facts: Json) -> str:
    """What carries the load."""
    lines = [f"Kubernetes {facts['kubernetes']}, {facts['cores']} cores, Python {facts['python']}"]
    lines += [f"  {part}: {' '.join(words)}" for part, words in facts["flags"].items()]
    return "\n".join([*lines, f"  {facts['notes']}"])


def scenario(name: str, result: Json) -> str:
    """A line for each figure, with its budget if it has one."""
    budgets = {budget.figure: budget for budget in SCENARIOS[name].budgets}
    lines = [f"\n{name}: {SCENARIOS[name].about}"]
    for figure, value in result.items():
        lines += rows(figure, value, budgets.get(figure))
    return "\n".join(lines)


def rows(figure: str, value: Any, budget: Budget | None) -> Iterator[str]:
    """One figure; a list has a line for each of its entries."""
    if isinstance(value, list) and figure != "violations":
        for entry in value:
            yield f"  {figure:<32} {inline(entry)}"
    elif figure == "violations":
        yield f"  {figure:<32} {len(value)}"
        yield from (f"    {line}" for line in value[:10])
    else:
        told = inline(value) if isinstance(value, Mapping) else str(value)
        yield f"  {figure:<32} {told}{verdict(value, budget)}"


def inline(entry: Json) -> str:
    """A few figures in a line."""
    return "  ".join(f"{name} {value}" for name, value in entry.items())


def verdict(value: Any, budget: Budget | None) -> str:
    """What the budget says."""
    if budget is None:
        return ""
    bound = "at most" if budget.at_most else "at least"
    return f"   ({bound} {budget.limit:g}: {'kept' if budget.holds(value) else 'MISSED'})"
