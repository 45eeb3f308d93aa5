"""Graphs of tasks as Mermaid text and as SVG, which needs nothing but a browser. Used by graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _MARGIN = 230, 48, 30, 44, 20
_TITLE = 28
_SHOWN = 32
"""Characters that fit into a box."""
_STYLE = (
    "text{font:13px sans-serif;fill:#1f2328}.what{font-size:11px;fill:#59636e}.title{font-weight:bold}"
    "rect{fill:#f6f8fa;stroke:#59636e}.nested{stroke-width:3}.all{fill:#fff;stroke:none}"
    "line{stroke:#59636e}.outcome{stroke-dasharray:5 4}"
)


@dataclass(frozen=True, slots=True)
class Box:
    """A task in the picture."""

    name: str
    what: str
    """What it runs, and how often."""
    layer: int
    """How many tasks stand above it on the longest way."""
    nested: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """The tasks of one list, and the edges between them: (who waits, for whom, whether its success is needed)."""

    title: str
    boxes: tuple[Box, ...]
    edges: tuple[tuple[str, str, bool], ...]


# --- Mermaid ---------------------------------------------------------------------------------------------------------


def mermaid(parts: tuple[Part, ...]) -> str:
    """A flowchart of Mermaid. Dotted edges only wait; nested workflows have double sides."""
    lines = ["flowchart TD"]
    for part in parts:
        # Numbers instead of names: Mermaid takes "end", and what has dashes in it, for words of its own.
        ids = {box.name: f"{part.title}{number}" for number, box in enumerate(part.boxes)}
        lines.append(f'  subgraph list_{part.title}["{part.title}"]')
        for box in part.boxes:
            opening, closing = ("[[", "]]") if box.nested else ("[", "]")
            text = f"{_for_mermaid(box.name)}<br/>{_for_mermaid(box.what)}"
            lines.append(f'    {ids[box.name]}{opening}"{text}"{closing}')
        lines += [f"    {ids[other]} {'-->' if needed else '-.->'} {ids[name]}" for name, other, needed in part.edges]
        lines.append("  end")
    lines += [f"  list_{above.title} ==> list_{below.title}" for above, below in itertools.pairwise(parts)]
    return "\n".join(lines)


def _for_mermaid(text: str) -> str:
    """Text in quotes: what Mermaid would read otherwise stands as an entity, which it spells with #."""
    return "".join(c if c.isalnum() or c in " ,:._-/" else f"#{ord(c)};" for c in text)


# --- SVG -------------------------------------------------------------------------------------------------------------


def svg(parts: tuple[Part, ...]) -> str:
    """A picture: layers from top to bottom, straight edges; dashed ones only wait."""
    widest = max(_columns(part) for part in parts)
    width = 2 * _MARGIN + widest * (_WIDTH + _GAP_X) - _GAP_X
    top, lines = _MARGIN, list[str]()
    for part in parts:
        lines.append(f'<text class="title" x="{_MARGIN}" y="{top + 14}">{escape(part.title)}</text>')
        places = _places(part, width, top + _TITLE)
        lines += _edges(part, places)
        lines += [line for box in part.boxes for line in _box(box, *places[box.name])]
        top += _TITLE + (1 + max(box.layer for box in part.boxes)) * (_HEIGHT + _GAP_Y)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">',
            f"<style>{_STYLE}</style>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 8 4 0 8z" fill="#59636e"/></marker></defs>',
            f'<rect class="all" width="{width}" height="{top}"/>',
            *lines,
            "</svg>",
        )
    )


def _columns(part: Part) -> int:
    layers = [box.layer for box in part.boxes]
    return max(layers.count(layer) for layer in layers)


def _places(part: Part, width: int, top: int) -> Mapping[str, tuple[int, int]]:
    """The upper left corner of each box; those of a layer stand in the middle, near what they wait for."""
    places: dict[str, tuple[int, int]] = {}
    waits: dict[str, list[str]] = {}
    for name, other, _ in part.edges:
        waits.setdefault(name, []).append(other)

    def middle(box: Box) -> float:
        above = [places[other][0] for other in waits.get(box.name, ())]
        return sum(above) / len(above) if above else 0

    for layer in range(1 + max(box.layer for box in part.boxes)):
        boxes = sorted((box for box in part.boxes if box.layer == layer), key=middle)
        left = (width - len(boxes) * (_WIDTH + _GAP_X) + _GAP_X) // 2
        for column, box in enumerate(boxes):
            places[box.name] = (left + column * (_WIDTH + _GAP_X), top + layer * (_HEIGHT + _GAP_Y))
    return places


def _edges(part: Part, places: Mapping[str, tuple[int, int]]) -> Iterator[str]:
    for name, other, needed in part.edges:
        (x1, y1), (x2, y2) = places[other], places[name]
        kind = "" if needed else ' class="outcome"'
        half = _WIDTH // 2
        yield (
            f'<line{kind} x1="{x1 + half}" y1="{y1 + _HEIGHT}" x2="{x2 + half}" y2="{y2}" marker-end="url(#arrow)">'
            f"<title>{escape(name)} waits for {escape(other)}</title></line>"
        )


def _box(box: Box, x: int, y: int) -> Iterator[str]:
    kind = ' class="nested"' if box.nested else ""
    yield f'<rect{kind} x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
    yield f'<text x="{x + 10}" y="{y + 20}">{escape(_short(box.name))}<title>{escape(box.name)}</title></text>'
    what = escape(_short(box.what))
    yield f'<text class="what" x="{x + 10}" y="{y + 38}">{what}<title>{escape(box.what)}</title></text>'


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
