"""What the runs of examples/ come to: on a cluster and on a laptop the same."""

from __future__ import annotations

from typing import Any

LANGUAGE: dict[str, dict[str, Any]] = {
    "parameters": {"sum": "The sum of 40 and 2 is 42.", "mood": "loud"},
    "conditions": {"said": "Echo: Echo: a quick look"},
    "fan-out": {
        "sums": {"small": "The sum of 1 and 2 is 3.", "large": "The sum of 100 and 200 is 300."},
        "failures": 1,
        "spelled": "Echo: 1a Echo: 2b Echo: 3c",
    },
    "nested": {"one": "Echo: Hello, Ada!", "many": "Echo: Hi, Katherine!"},
    "failure": {"humidity": 82, "class": "Tool"},
    "retry": {"attempts": [3, 2], "classes": ["Tool", "Timeout"]},
    "results": {
        "conditions": "Cloudy",
        "picture": "image/png",
        "caption": True,
        "links": ["demo://resource/dynamic/blob/1", "demo://resource/dynamic/text/2"],
        "resource": "demo://resource/dynamic/text/1",
    },
    "expressions": {
        "paid": "Echo: a-1, a-3",
        "urgent": True,
        "firsts": 2,
        "later": "2026-02-01T00:30:00Z",
        "literal": "${{ this is not an expression }}",
    },
}

_DESIGN = """Design code with kopf that does this: restart pods that hang
Its documentation says: {"handlers":"Echo: /kopf/kopf: handlers","timers":"Echo: /kopf/kopf: timers"}
"""
GUIDE: dict[str, dict[str, Any]] = {
    "research-offline": {
        "report": "Echo: Write a summary of what is known about grey herons, from these answers:\n"
        '["Echo: grey herons: Where do they nest?","Echo: grey herons: What do they eat?"]\n',
        "sources": "Echo: grey herons",
    },
    "code-offline": {
        "design": f"Echo: {_DESIGN}",
        "review": f"Echo: Review this design: Echo: {_DESIGN}",
        "pitfalls": "Echo: pitfalls of kopf for restart pods that hang",
    },
    "optimization-offline": {
        "advice": {
            "p99": "Echo: the shop: p99 is 900, and should be 500. What would you change first, and why?",
        },
    },
}
