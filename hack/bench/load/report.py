"""The figures as a table. Used by the command."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.load.scenarios import SCENARIOS, Budget

Json = Mapping[str, Any]


def shown(report: Json) -> str:
    """A line for each figure, with its budget if it has one."""
    machine = report["machine"]
    lines = [f"Kubernetes {machine['kubernetes']}, {machine['cores']} cores, Python {machine['python']}"]
    lines += [f"  {name}: {' '.join(words)}" for name, words in machine["flags"].items() if name != "etcd"]
    lines.append(f"  {machine['notes']}")
    for name, result in report["scenarios"].items():
        lines.append(f"\n{name}: {SCENARIOS[name].about}")
        budgets = {budget.figure: budget for budget in SCENARIOS[name].budgets}
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
