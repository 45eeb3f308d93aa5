"""Expressions in templates: what they read, what is wrong with them, and what they come to.

What others need is here. A string that is one lone `${{ expression }}` has the expression's value, of any type; in a
longer text a string stands as it is and any other value as JSON. `$${{` stands for the characters `${{`. Conditions are
CEL without the braces. Values are data: what a tool answered is never read as an expression.
"""

from mcp_orchestrator.planning.expressions.checks import check, check_condition, variable_fault
from mcp_orchestrator.planning.expressions.evaluation import MAX_TEXT, MAX_VALUE, compute, evaluate, test
from mcp_orchestrator.planning.expressions.reading import References, Use, condition_references, references
from mcp_orchestrator.planning.expressions.scope import TASK_CONTENT, TASK_OUTCOME, Absent, ExpressionFailed, Scope
from mcp_orchestrator.planning.expressions.texts import Roots, lone, replace, strings

__all__ = [
    "MAX_TEXT", "MAX_VALUE", "TASK_CONTENT", "TASK_OUTCOME", "Absent", "ExpressionFailed", "References", "Roots",
    "Scope", "Use", "check", "check_condition", "compute", "condition_references", "evaluate", "lone", "references",
    "replace", "strings", "test", "variable_fault",
]  # fmt: skip
