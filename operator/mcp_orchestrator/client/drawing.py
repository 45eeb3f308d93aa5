"""Graphs of tasks as Mermaid text and as SVG, which needs nothing but a browser. Used by graph."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from mcp_orchestrator.client.layout import BOX, Layout, lay_out

_HEIGHT, _GAP, _MARGIN, _TITLE = 48, 44, 20, 28
_NAME, _WHAT = 30, 38
"""Characters that fit into a box, in the wider ones of the common fonts."""
_STYLE = (
    "text{font:13px sans-serif;fill:#1f2328}.what{font-size:11px;fill:#59636e}.title{font-weight:bold}"
    "rect{fill:#f6f8fa;stroke:#59636e}.nested{stroke-width:3}.all{fill:#fff;stroke:none}"
    "marker{fill:#59636e}.edge{fill:none;stroke:#59636e}.outcome{stroke-dasharray:5 4}"
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
    """A picture: layers from top to bottom; dashed edges only wait."""
    layouts = [
        lay_out({box.name: box.layer for box in part.boxes}, [edge[:2] for edge in part.edges]) for part in parts
    ]
    width = 2 * _MARGIN + max(layout.width for layout in layouts)
    top, lines = _MARGIN, list[str]()
    for part, layout in zip(parts, layouts, strict=True):
        lines.append(f'<text class="title" x="{_MARGIN}" y="{top + 14}">{escape(part.title)}</text>')
        lines += _edges(part, layout, width // 2, top + _TITLE)
        for box in part.boxes:
            lines += _box(box, width // 2 + layout.boxes[box.name] - BOX // 2, _upper(box.layer, top + _TITLE))
        top = _upper(1 + max(box.layer for box in part.boxes), top + _TITLE)
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}" viewBox="0 0 {width} {top}">',
            f"<style>{_STYLE}</style>",
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0 8 4 0 8z"/></marker></defs>',
            f'<rect class="all" width="{width}" height="{top}"/>',
            *lines,
            "</svg>",
        )
    )


def _upper(layer: int, top: int) -> int:
    """Where a layer begins."""
    return top + layer * (_HEIGHT + _GAP)


def _edges(part: Part, layout: Layout, middle: int, top: int) -> Iterator[str]:
    layers = {box.name: box.layer for box in part.boxes}
    for name, other, needed in part.edges:
        first, *others = (middle + x for x in layout.edges[name, other])
        y = _upper(layers[other], top) + _HEIGHT
        way = f"M{first} {y}"
        for before, x in itertools.pairwise((first, *others)):
            # A curve from layer to layer, and straight down through one.
            half = y + _GAP // 2
            way += f"C{before} {half} {x} {half} {x} {y + _GAP}"
            y += _GAP + _HEIGHT
            way += f"V{y}"
        way = way.rpartition("V")[0]
        kind = "edge" if needed else "edge outcome"
        title = f"<title>{escape(name)} waits for {escape(other)}</title>"
        yield f'<path class="{kind}" d="{way}" marker-end="url(#arrow)">{title}</path>'


def _box(box: Box, x: int, y: int) -> Iterator[str]:
    kind = ' class="nested"' if box.nested else ""
    yield f'<rect{kind} x="{x}" y="{y}" width="{BOX}" height="{_HEIGHT}" rx="6"/>'
    name, what = _short(box.name, _NAME), _short(box.what, _WHAT)
    yield f'<text x="{x + 10}" y="{y + 20}">{escape(name)}<title>{escape(box.name)}</title></text>'
    yield f'<text class="what" x="{x + 10}" y="{y + 38}">{escape(what)}<title>{escape(box.what)}</title></text>'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
