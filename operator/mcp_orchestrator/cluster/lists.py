"""Lists of the API server, which come in pages. Made by `client`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from mcp_orchestrator.cluster.resources import Object, Resource

T = TypeVar("T")

PAGE_SIZE = 500
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
"""How a list is asked for of which only the columns are wanted."""


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a list. `first` comes again if the list had to begin anew: forget the pages before it."""

    items: list[Object]
    resource_version: str
    first: bool


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A whole list and the version of the collection that it shows."""

    items: list[T]
    resource_version: str


def page(resource: Resource, answer: Object, *, first: bool) -> Page:
    """Items of a list come without the kind that the list has in its name: give it back to them."""
    items = answer.get("items") or _rows(answer)
    for item in items:
        item.setdefault("apiVersion", resource.api_version)
        item.setdefault("kind", resource.kind)
    return Page(items, answer["metadata"].get("resourceVersion", ""), first)


def _rows(answer: Object) -> list[Object]:
    names = [column["name"] for column in answer.get("columnDefinitions") or ()]
    return [
        {"metadata": row["object"]["metadata"], "cells": dict(zip(names, row["cells"], strict=True))}
        for row in answer.get("rows") or ()
    ]
