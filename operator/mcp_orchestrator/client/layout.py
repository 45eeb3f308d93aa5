"""Where boxes and edges of a graph go from left to right, when each box stands in a layer. Used by drawing.

An edge over several layers has a place of its own in each that it passes, as boxes have: so it leads through none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

Edge = tuple[str, str]
"""Who waits, and for whom."""
Stop = tuple[int, str | Edge]
"""A layer, and what stands in it: a box, or an edge that passes."""
BOX = 250
"""How wide a box is."""
_ROOM_OF_BOX, _ROOM_OF_EDGE = 280, 16
_BETWEEN_ENDS, _CORNER = 20, 20


@dataclass(frozen=True, slots=True)
class Layout:
    """Places from left to right; 0 is the middle of the picture."""

    width: int
    boxes: Mapping[str, int]
    """The middle of each box."""
    edges: Mapping[Edge, tuple[int, ...]]
    """Where each leaves the upper box, where it passes the layers between, and where it reaches the lower box."""


def lay_out(layers: Mapping[str, int], edges: Sequence[Edge]) -> Layout:
    """The places. `layers` counts from 0 at the top; every edge leads down."""
    ways = {edge: _way(edge, layers) for edge in edges}
    above: dict[Stop, list[Stop]] = defaultdict(list)
    rows: list[dict[Stop, None]] = [{} for _ in range(1 + max(layers.values()))]
    for name, layer in layers.items():
        rows[layer][layer, name] = None
    for way in ways.values():
        for upper, lower in pairwise(way):
            above[lower].append(upper)
            rows[lower[0]][lower] = None
    middles: dict[Stop, float] = {}
    for row in rows:
        # In the order of what they wait for, so that few edges cross.
        order = sorted(row, key=lambda stop: fmean(middles[one] for one in above[stop]) if above[stop] else 0)
        x = -sum(map(_room, order)) / 2
        for stop in order:
            middles[stop] = x + _room(stop) / 2
            x += _room(stop)
    return Layout(
        round(max(sum(map(_room, row)) for row in rows)),
        {name: round(middles[layer, name]) for name, layer in layers.items()},
        {edge: tuple(map(round, xs)) for edge, xs in _with_ends(ways, middles).items()},
    )


def _way(edge: Edge, layers: Mapping[str, int]) -> tuple[Stop, ...]:
    name, other = edge
    between = range(layers[other] + 1, layers[name])
    return (layers[other], other), *((layer, edge) for layer in between), (layers[name], name)


def _room(stop: Stop) -> int:
    return _ROOM_OF_BOX if isinstance(stop[1], str) else _ROOM_OF_EDGE


def _with_ends(ways: Mapping[Edge, tuple[Stop, ...]], middles: Mapping[Stop, float]) -> dict[Edge, list[float]]:
    """The ways, their ends side by side along the boxes that they share."""
    found = {edge: [middles[stop] for stop in way] for edge, way in ways.items()}
    for end, beside in ((0, 1), (-1, -2)):
        shared: dict[Stop, list[Edge]] = defaultdict(list)
        for edge, way in ways.items():
            shared[way[end]].append(edge)
        for stop, edges in shared.items():
            step = min(_BETWEEN_ENDS, (BOX - 2 * _CORNER) / len(edges))
            edges.sort(key=lambda edge: middles[ways[edge][beside]])
            for place, edge in enumerate(edges):
                found[edge][end] = middles[stop] + (place - (len(edges) - 1) / 2) * step
    return found
