"""The operator under load: `PYTHONPATH=hack hack/env python -m bench.load [SCENARIO…]`.

Starts a control plane with fake nodes, runs the operator from the source tree as a process of its own, plays the
runners of its runs in another one, and tells from the API server's audit log what happened when. Every scenario also
checks the limit and the order of the queue at every moment: the exit code is 1 if the operator broke a promise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.load import cluster, report, stage
from bench.load.cluster import Cluster
from bench.load.scenarios import QUICK, SCENARIOS, Json, Sizes
from bench.load.stage import TooSlow


def main() -> int:
    """Run the scenarios; 1 if the operator broke a promise, or did not come to an end."""
    options = parser().parse_args()
    # Whoever ends it leaves no operator behind, and no cluster.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logs = Path(tempfile.mkdtemp(prefix="mcp-orchestrator-bench-"))
    print(f"logs of the operator and of the runners: {logs}", file=sys.stderr)
    with cluster.up(options.name, keep=options.keep) as there:
        print(report.machine(there.facts))
        chosen = options.scenario or list(SCENARIOS)
        results = asyncio.run(play(there, chosen, QUICK if options.quick else Sizes(), logs, options.output))
    return 1 if any(result["violations"] or "failed" in result for result in results.values()) else 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    lines = "\n".join(f"  {name:<9} {scenario.about}" for name, scenario in SCENARIOS.items())
    result = argparse.ArgumentParser(
        prog="python -m bench.load", description=__doc__, epilog=f"scenarios\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    result.add_argument("scenario", nargs="*", choices=list(SCENARIOS), help="default: all", metavar="SCENARIO")
    result.add_argument("--quick", action="store_true", help="small sizes, to see that it works")
    result.add_argument("--output", type=Path, metavar="FILE", help="write the figures as JSON too")
    result.add_argument("--name", default="bench", help="the cluster's name (default: bench)")
    result.add_argument("--keep", action="store_true", help="leave the cluster there")
    return result


async def play(there: Cluster, chosen: list[str], sizes: Sizes, logs: Path, output: Path | None) -> Mapping[str, Json]:
    """The figures of each scenario, and what was wrong: told, and written, as soon as they are there."""
    results: dict[str, Json] = {}
    for name in chosen:
        print(f"\n{name}: {SCENARIOS[name].about} …", file=sys.stderr)
        began = time.monotonic()
        async with stage.prepared(there, f"bench-{name}-{int(time.time()):x}", logs) as scene:
            try:
                found = await SCENARIOS[name].play(scene, sizes)
            except TooSlow as error:
                found = {"failed": str(error)}
            scene.look()
            results[name] = {**found, "violations": scene.violations(), "seconds": round(time.monotonic() - began)}
        print(report.scenario(name, results[name]), flush=True)
        write(output, there, results)
    return results


def write(output: Path | None, there: Cluster, results: Mapping[str, Json]) -> None:
    """Write what is there so far, if that is wanted."""
    if output:
        output.write_text(json.dumps({"machine": there.facts, "scenarios": results}, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
