"""Offline validation of manifests: the sentences that `kubectl apply` would give, without a cluster.

The structural part follows the API server's wording. The CEL part evaluates the very rules that the CRDs
carry, on the object with defaults filled in, as the server does.
"""

import copy
import datetime as dt
import json
import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import Any

import celpy
from celpy import celtypes

from lastgood.api import API_VERSION, GROUP
from lastgood.api.kinds import KINDS
from lastgood.api.schema import Schema, structural

_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "boolean": bool,
    "number": (int, float),
}


_RESERVED = frozenset(
    [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
        "var",
        "void",
        "while",
    ]
)
_SHAPELESS = (
    "unknown field ",
    ": Required value",
    ": Too long",
    ": Too many",
    ": Unsupported value",
    "must be of type",
)
"""Words of the problems after which the API server does not look at rules."""


@cache
def _schemas() -> dict[str, Schema]:
    return {kind.name: structural(kind.model) for kind in KINDS}


def validate(manifest: Any) -> list[str]:
    """What is wrong with one manifest, a sentence each; empty when the cluster would take it."""
    if not isinstance(manifest, dict):
        return ["the document is no object: write apiVersion, kind, metadata and spec"]
    kind, version = manifest.get("kind"), str(manifest.get("apiVersion", ""))
    if not version.startswith(f"{GROUP}/"):
        return []
    if version != API_VERSION or kind not in _schemas():
        known = ", ".join(sorted(_schemas()))
        return [f'no kind "{kind}" in version "{version}": write apiVersion {API_VERSION} and one of {known}']
    if not isinstance(manifest.get("metadata"), dict) or not (
        manifest["metadata"].get("name") or manifest["metadata"].get("generateName")
    ):
        return ["metadata.name: Required value: name or generateName is required"]
    schema = _schemas()[kind]
    # The status subresource is not written by apply; what stands there is dropped.
    body = {"spec": copy.deepcopy(manifest["spec"])} if "spec" in manifest else {}
    unknown = [
        f'unknown field "{k}"' for k in manifest if k not in {"apiVersion", "kind", "metadata", "spec", "status"}
    ]
    apply_defaults(body, schema)
    problems = unknown + list(_structure(body, schema, ""))
    # Rules see only what has the right shape. As on the API server, a wrong pattern, bound or duplicate leaves it right.  # noqa: E501
    if any(word in problem for problem in problems for word in _SHAPELESS):
        return problems
    return problems + list(_rules(body, schema, ""))


def apply_defaults(value: Any, schema: Schema) -> None:
    """Take out nulls and fill in defaults in place, as the API server does before it validates."""
    if isinstance(value, dict):
        for name, child in schema.get("properties", {}).items():
            if value.get(name) is None:
                # A null is absence: the server takes it out, or puts the default there, before anything looks.
                value.pop(name, None)
                if "default" in child:
                    value[name] = copy.deepcopy(child["default"])
            if name in value:
                apply_defaults(value[name], child)
        if "additionalProperties" in schema:
            for child in value.values():
                apply_defaults(child, schema["additionalProperties"])
    elif isinstance(value, list):
        for item in value:
            apply_defaults(item, schema.get("items", {}))


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _structure(value: Any, schema: Schema, path: str) -> Iterator[str]:
    expected = schema.get("type")
    if expected is None:
        return
    wrong = not isinstance(value, _TYPES[expected]) or (isinstance(value, bool) and expected != "boolean")
    if wrong:
        actual = next((n for n, t in _TYPES.items() if type(value) is t), type(value).__name__)
        yield f'{path}: Invalid value: "{actual}": {path} in body must be of type {expected}: "{actual}"'
        return
    if isinstance(value, dict):
        yield from _object(value, schema, path)
    elif isinstance(value, list):
        yield from _array(value, schema, path)
    else:
        yield from _scalar(value, schema, path)


def _object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    if "additionalProperties" in schema:
        yield from _map(value, schema, path)
        return
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            yield f"{_join(path, name)}: Required value"
    for name, child in value.items():
        if name not in properties:
            yield f'unknown field "{_join(path, name)}"'
        elif child is not None:
            yield from _structure(child, properties[name], _join(path, name))


def _map(value: dict[str, Any], schema: Schema, path: str) -> Iterator[str]:
    if len(value) > schema.get("maxProperties", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxProperties']} items"
    for name, child in value.items():
        yield from _structure(child, schema["additionalProperties"], f"{path}.{name}")


def _array(value: list[Any], schema: Schema, path: str) -> Iterator[str]:
    if len(value) > schema.get("maxItems", len(value)):
        yield f"{path}: Too many: {len(value)}: must have at most {schema['maxItems']} items"
    if len(value) < schema.get("minItems", 0):
        yield (f"{path}: Invalid value: {len(value)}: {path} in body should have at least {schema['minItems']} items")
    for index, item in enumerate(value):
        yield from _structure(item, schema["items"], f"{path}[{index}]")
    keys = schema.get("x-kubernetes-list-map-keys", [])
    seen: set[tuple[str, ...]] = set()
    for index, item in enumerate(value):
        if isinstance(item, dict) and keys:
            key = tuple(str(item.get(k)) for k in keys)
            if key in seen:
                yield f"{path}[{index}]: Duplicate value: {_shown({k: item.get(k) for k in keys})}"
            seen.add(key)


def _scalar(value: Any, schema: Schema, path: str) -> Iterator[str]:
    where = f"{path}: Invalid value: {_shown(value)}: {path} in body should"
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(_shown(v) for v in schema["enum"])
        yield f"{path}: Unsupported value: {_shown(value)}: supported values: {supported}"
    if isinstance(value, str):
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{path}: Too long: may not be more than {schema['maxLength']} bytes"
        if len(value) < schema.get("minLength", 0):
            yield f"{where} be at least {schema['minLength']} chars long"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            yield f"{where} match '{schema['pattern']}'"
    elif not isinstance(value, bool):
        if value < schema.get("minimum", value):
            yield f"{where} be greater than or equal to {schema['minimum']}"
        if value > schema.get("maximum", value):
            yield f"{where} be less than or equal to {schema['maximum']}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _duration(text: celtypes.Value) -> celtypes.Value:
    units = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours"}
    parts = re.findall(r"([0-9]+)(ms|s|m|h)", str(text))
    return celtypes.DurationType(sum((dt.timedelta(**{units[u]: int(n)}) for n, u in parts), dt.timedelta()))


def _find(text: celtypes.Value, pattern: celtypes.Value) -> celtypes.Value:
    found = re.search(str(pattern), str(text))
    return celtypes.StringType(found[0] if found else "")


def _find_all(text: celtypes.Value, pattern: celtypes.Value) -> celtypes.Value:
    return celtypes.ListType([celtypes.StringType(m[0]) for m in re.finditer(str(pattern), str(text))])


def _escaped(value: Any) -> Any:
    """The value with CEL's reserved words, as names of fields, in the form that the API server gives them."""
    if isinstance(value, dict):
        return {f"__{k}__" if k in _RESERVED else k: _escaped(v) for k, v in value.items()}
    return [_escaped(v) for v in value] if isinstance(value, list) else value


@cache
def _program(rule: str) -> celpy.Runner:
    environment = celpy.Environment()
    return environment.program(
        environment.compile(rule), functions={"duration": _duration, "find": _find, "findAll": _find_all}
    )


@lru_cache(maxsize=4096)
def _holds(rule: str, value: str) -> bool:
    """Whether a rule holds of a value, as JSON. Of many manifests, most parts are alike, and one rule takes 5 ms."""
    try:
        return bool(_program(rule).evaluate({"self": celpy.json_to_cel(json.loads(value))}))
    except celpy.CELEvalError:
        return False


def _rules(value: Any, schema: Schema, path: str) -> Iterator[str]:
    text = ""
    for entry in schema.get("x-kubernetes-validations", []):
        # A rule over the old object has nothing to say of a manifest alone.
        if "oldSelf" in entry["rule"]:
            continue
        text = text or json.dumps(_escaped(value), sort_keys=True)
        if not _holds(entry["rule"], text):
            # The server names the type and keeps the value to itself: it may be a secret.
            yield f'{path}: Invalid value: "{schema["type"]}": {entry["message"]}'
    if isinstance(value, dict):
        for name, child in value.items():
            below = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if child is not None and below:
                yield from _rules(child, below, _join(path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _rules(item, schema["items"], f"{path}[{index}]")
