"""Writes cases.json: those of the CEL specification's own test cases that are about JSON values. See README.md."""

from __future__ import annotations

import base64
import importlib
import json
import math
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc_tools.protoc
from google.protobuf import duration_pb2, text_format, timestamp_pb2

HERE = Path(__file__).resolve().parent
MODULE = "cel.dev/expr"
# What an expression of ours never has: messages of protobuf, what only optimizers write, and a library of its own.
FOREIGN = re.compile(r"TestAllTypes|google\.protobuf|cel\.expr\.|cel\.@|proto\.|\b(ip|cidr)\(|NestedEnum|GlobalEnum")
FOREIGN_FILES = ("block_ext", "network_ext", "proto2", "proto2_ext", "proto3", "enums", "unknowns")


class Inapplicable(Exception):
    """The case is not about JSON values."""


def main() -> None:
    """Read the module's folder, the first argument, and write cases.json."""
    root = Path(sys.argv[1])
    simple = generated(root / "proto")
    found: dict[str, dict[str, list[Any]]] = {}
    counts = [0, 0]
    for path in sorted((root / "tests/simple/testdata").glob("*.textproto")):
        if path.stem in FOREIGN_FILES:
            continue
        file = text_format.Parse(path.read_text(), simple.SimpleTestFile())
        cases = dict(applicable(file, counts))
        if cases:
            found[path.stem] = cases
    version = root.name.split("@")[1]
    source = {"module": f"{MODULE} {version}", "license": "Apache-2.0", "all": counts[0], "applicable": counts[1]}
    lines = [
        f'"source": {json.dumps(source)}',
        *(f"{json.dumps(name)}: {table(cases)}" for name, cases in found.items()),
    ]
    (HERE / "cases.json").write_text("{" + ",\n".join(lines) + "}\n")
    print(f"{counts[1]} of {counts[0]} cases")


def generated(protos: Path) -> Any:
    """The module of Python that protoc makes of the messages of the test files."""
    folder = tempfile.mkdtemp()
    known = Path(grpc_tools.protoc.__file__).parent / "_proto"
    files = [str(path) for path in protos.rglob("*.proto")]
    if grpc_tools.protoc.main(["protoc", f"-I{protos}", f"-I{known}", f"--python_out={folder}", *files]):
        raise SystemExit("protoc failed")
    sys.path.insert(0, folder)
    for module in ("proto2.test_all_types_extensions_pb2", "proto2.test_all_types_pb2", "proto3.test_all_types_pb2"):
        importlib.import_module(f"cel.expr.conformance.{module}")
    return importlib.import_module("cel.expr.conformance.test.simple_pb2")


def applicable(file: Any, counts: list[int]) -> Iterator[tuple[str, list[Any]]]:
    """The cases by their names, each as expression, variables and expected value."""
    seen: dict[str, int] = {}
    for section in file.section:
        for test in section.test:
            counts[0] += 1
            name = f"{section.name}/{test.name}"
            seen[name] = seen.get(name, 0) + 1
            try:
                case = [test.expr, variables(test), expected(test)]
            except Inapplicable:
                continue
            counts[1] += 1
            yield name if seen[name] == 1 else f"{name} {seen[name]}", case


def variables(test: Any) -> dict[str, Any]:
    """The values of the variables. Raises Inapplicable."""
    if test.container or test.disable_check or test.disable_macros or FOREIGN.search(test.expr):
        raise Inapplicable
    declared = {declaration.name for declaration in test.type_env if declaration.HasField("ident")}
    if len(declared) < len(test.type_env) or declared != set(test.bindings):
        raise Inapplicable
    values = {name: value(bound.value) for name, bound in test.bindings.items()}
    if any(not name.isidentifier() or not is_json(bound) for name, bound in values.items()):
        raise Inapplicable
    return values


def expected(test: Any) -> Any:
    """The value that the expression must come to. Raises Inapplicable."""
    match test.WhichOneof("result_matcher"):
        case None:
            return True
        case "value":
            return value(test.value)
        case "typed_result" if test.typed_result.HasField("result"):
            return value(test.typed_result.result)
        case "eval_error" | "any_eval_errors":
            return {"$error": ""}
    raise Inapplicable


def value(message: Any) -> Any:
    """A value as JSON; what JSON has not is an object with one key that begins with `$`. Raises Inapplicable."""
    match message.WhichOneof("kind"):
        case "null_value":
            return None
        case "bool_value" | "int64_value" | "string_value" as kind:
            return getattr(message, kind)
        case "uint64_value":
            return {"$uint": message.uint64_value}
        case "double_value":
            number = message.double_value
            return number if math.isfinite(number) else {"$double": str(number)}
        case "bytes_value":
            return {"$bytes": base64.b64encode(message.bytes_value).decode()}
        case "type_value":
            return {"$type": message.type_value}
        case "list_value":
            return [value(item) for item in message.list_value.values]
        case "map_value":
            entries = [[value(entry.key), value(entry.value)] for entry in message.map_value.entries]
            return dict(entries) if all(isinstance(key, str) for key, _ in entries) else {"$map": entries}
        case "object_value":
            return timed(message.object_value)
    raise Inapplicable


def timed(message: Any) -> Any:
    """A timestamp or a duration. Raises Inapplicable for other messages."""
    for kind, empty in (("$timestamp", timestamp_pb2.Timestamp()), ("$duration", duration_pb2.Duration())):
        if message.Unpack(empty):
            return {kind: [empty.seconds, empty.nanos]}
    raise Inapplicable


def is_json(bound: Any) -> bool:
    """Whether a value is plain JSON."""
    if isinstance(bound, dict):
        return all(not key.startswith("$") and is_json(inner) for key, inner in bound.items())
    return all(map(is_json, bound)) if isinstance(bound, list) else True


def table(cases: dict[str, list[Any]]) -> str:
    """The cases as JSON, one a line."""
    rows = (f" {json.dumps(name)}: {json.dumps(case)}" for name, case in cases.items())
    return "{\n" + ",\n".join(rows) + "\n}"


if __name__ == "__main__":
    main()
