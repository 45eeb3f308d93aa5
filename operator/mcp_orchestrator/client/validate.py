"""`mcp-orchestrator validate`: everything that can be said about files without a cluster."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from mcp_orchestrator.api.reading import Unreadable, read
from mcp_orchestrator.api.workflow import Workflow
from mcp_orchestrator.api.workflowrun import WorkflowRun
from mcp_orchestrator.api.workflowtemplate import Mistake, TemplateReason, WorkflowTemplate
from mcp_orchestrator.client import findings, sources
from mcp_orchestrator.client.exits import Exit
from mcp_orchestrator.client.findings import Finding, Rule, Severity
from mcp_orchestrator.client.sources import Document, Sources
from mcp_orchestrator.client.terminal import Terminal
from mcp_orchestrator.planning import mistakes
from mcp_orchestrator.planning.templates import schedules
from mcp_orchestrator.planning.workflows import checks, nesting, parameters, shape

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow"}
_ELSEWHERE = re.compile(r"WorkflowTemplate (\S+) (spec.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Checked:
    """The files, and everything that was found in them."""

    files: tuple[str, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether there is an error among the findings."""
        return any(finding.severity == Severity.ERROR for finding in self.findings)

    @property
    def summary(self) -> str:
        """How many of what, in a line."""
        kinds = [finding.severity for finding in self.findings]
        counts = ((_counted(kinds.count(severity), str(severity))) for severity in Severity if severity in kinds)
        touched = len({finding.file for finding in self.findings})
        files = _counted(len(self.files), "file")
        return f"{', '.join(counts)} in {touched} of {files}" if kinds else f"{files} ok"


def run(names: Sequence[str], output: str, *, strict: bool = False, verbose: bool = False) -> Exit:
    """The command. Raises Failed."""
    found = sources.read(names or ["."])
    checked = check(found, strict=strict)
    terminal = Terminal.of()
    if output == "json":
        terminal.data([finding.wire() for finding in checked.findings])
    elif output == "sarif":
        version = metadata.version("mcp-orchestrator")
        terminal.data(findings.sarif(checked.findings, version))
    else:
        show(checked, terminal)
    if verbose:
        for words in found.skipped:
            print(f"skipped {words}", file=sys.stderr)
        print("not checked: tools and their arguments, which only servers in a cluster know", file=sys.stderr)
    return Exit.FAILED if checked.failed else Exit.OK


def show(checked: Checked, terminal: Terminal) -> None:
    """Print it for a person: a line for each finding, one for each good file, and a summary."""
    lines: list[tuple[str, Finding | None]] = []
    for file in checked.files:
        own = [finding for finding in checked.findings if finding.file == file]
        lines += [(f"{file}:{one.line}:{one.column}", one) for one in own] or [(file, None)]
    width = max(len(place) for place, _ in lines)
    for place, finding in lines:
        if finding is None:
            terminal.line(f"{place:{width}}  {terminal.paint('ok', 'green')}")
            continue
        severity = terminal.paint(f"{finding.severity:7}", _COLOURS[finding.severity])
        message = " ".join(finding.message.split())
        terminal.line(f"{place:{width}}  {severity}  {f'{finding.path}: ' if finding.path else ''}{message}")
    terminal.line(checked.summary)


def check(found: Sources, *, strict: bool = False) -> Checked:
    """Check what was read; `strict` makes errors of warnings."""
    everything = dict.fromkeys((*found.findings, *_Documents(found.documents).findings()))
    if strict:
        everything = dict.fromkeys(dataclasses.replace(one, severity=Severity.ERROR) for one in everything)
    places = {file: index for index, file in enumerate(found.files)}
    ordered = sorted(everything, key=lambda finding: (places[finding.file], finding.order))
    return Checked(tuple(found.files), tuple(ordered))


class _Documents:
    """The objects of all files, which may name each other."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = tuple(documents)
        self._templates: list[tuple[Document, WorkflowTemplate]] = []
        self._runs: list[tuple[Document, WorkflowRun]] = []

    def findings(self) -> Iterator[Finding]:
        """What is wrong with each by itself, then with them together."""
        yield from self._duplicates()
        for document in self._documents:
            formal = shape.check(document.kind, document.body)
            told = _most_specific(formal, tuple(self._read(document)))
            yield from (document.finding(one.path, one.message, one.reason) for one in told)
        for document, template in self._templates:
            yield from self._nested(document, template.spec, "spec", template.metadata.name)
        for document, run in self._runs:
            yield from self._check_run(document, run)

    def _duplicates(self) -> Iterator[Finding]:
        seen: dict[tuple[str, ...], Document] = {}
        for document in self._documents:
            name = document.metadata.get("name")
            if not isinstance(name, str):
                continue
            # Without a namespace, files of different directories are most likely for different ones.
            space = (document.namespace, "" if document.namespace else document.directory)
            first = seen.setdefault((document.kind.name, *space, name), document)
            if first is not document:
                message = f'{document.kind.name} "{name}" stands in {first.file}:{first.root.place.line} too'
                yield document.finding("metadata.name", message, Rule.DUPLICATE_OBJECT)

    def _read(self, document: Document) -> Iterator[Mistake]:
        """Take the object in; says what is wrong with a workflow in it."""
        # Only what metadata is needed here: whether it is sound, shape says.
        name = document.metadata.get("name") or document.metadata.get("generateName")
        body = {**document.body, "metadata": {"name": str(name), "namespace": document.namespace}, "status": {}}
        model = read(document.kind.model, body)  # type: ignore[type-var]  # every kind is a Model
        match model:
            case Unreadable(message=message):
                yield mistakes.a_mistake("", TemplateReason.INVALID_SPEC, message)
            case WorkflowTemplate():
                self._templates.append((document, model))
                yield from checks.check_workflow(model.spec)
                yield from schedules.check(model.spec)
            case WorkflowRun():
                self._runs.append((document, model))
                if model.spec.template:
                    yield from checks.check_workflow(model.spec.template, "spec.template")

    def _check_run(self, document: Document, run: WorkflowRun) -> Iterator[Finding]:
        workflow = run.spec.template
        if workflow:
            yield from self._nested(document, workflow, "spec.template")
        elif run.spec.template_ref:
            name, around = run.spec.template_ref.name, self._around(document)
            if name not in around:
                yield from self._missing(document, "spec.templateRef.name", name)
                return
            workflow = around[name][1].spec
        if workflow:
            for mistake in parameters.check_given(run.spec, workflow.parameters, {}):
                yield document.finding(mistake.path, mistake.message, mistake.reason)

    def _nested(self, document: Document, spec: Workflow, path: str, name: str = "") -> Iterator[Finding]:
        """What is wrong with the workflows that a workflow's tasks run, and with what they are given."""
        around = self._around(document)
        nested = nesting.find(spec, {key: template for key, (_, template) in around.items()}, path, name)
        for mistake in nested.mistakes or nesting.check(spec, nested, path):
            home, where = document, mistake.path
            if elsewhere := _ELSEWHERE.fullmatch(mistake.path):
                home, where = around[elsewhere[1]][0], elsewhere[2]
            yield home.finding(where, mistake.message, mistake.reason)
        for where, task, _ in checks.tasks_of(spec, path):
            if task.template and task.template.name not in around:
                yield from self._missing(document, f"{where}.template.name", task.template.name)

    def _missing(self, document: Document, path: str, name: str) -> Iterator[Finding]:
        if not self._is_there(document, name):
            hint = mistakes.suggestion(name, self._around(document))
            message = f'there is no WorkflowTemplate "{name}" among the files{hint}'
            yield document.finding(path, message, Rule.TEMPLATE_NOT_FOUND, Severity.WARNING)

    def _is_there(self, document: Document, name: str) -> bool:
        """Whether there is such a template, though it can't be read: that is told where it stands."""
        return any(
            other.kind.model is WorkflowTemplate and other.metadata.get("name") == name and _may_meet(other, document)
            for other in self._documents
        )

    def _around(self, document: Document) -> dict[str, tuple[Document, WorkflowTemplate]]:
        """The templates that may be in the object's namespace, by name; of several, the nearest one."""
        fits = [(other, template) for other, template in self._templates if _may_meet(other, document)]
        fits.sort(key=lambda one: (one[0].namespace == document.namespace, one[0].directory == document.directory))
        return {template.metadata.name: (other, template) for other, template in fits}


def _may_meet(one: Document, other: Document) -> bool:
    return one.namespace == other.namespace or not (one.namespace and other.namespace)


def _most_specific(formal: tuple[Mistake, ...], inner: tuple[Mistake, ...]) -> tuple[Mistake, ...]:
    """All of them, but for those of the form that a closer look tells again, and better."""
    paths = [mistake.path for mistake in inner if mistake.path]
    kept = [
        mistake
        for mistake in formal
        if mistake.reason == shape.UNKNOWN_FIELD
        or not any(path == mistake.path or path.startswith((f"{mistake.path}.", f"{mistake.path}[")) for path in paths)
    ]
    return (*kept, *(mistake for mistake in inner if mistake.path or not kept))


def _counted(count: int, word: str) -> str:
    return f"{count} {word}{'' if count == 1 else 's'}"
