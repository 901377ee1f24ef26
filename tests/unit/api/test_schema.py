"""The CRDs: what the API server wants of a structural schema, and that every copy is the models' own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lastgood.api.kinds import KINDS, Kind
from lastgood.api.schema import crd, files, structural
from lastgood.api.validation import validate

ROOT = Path(__file__).parents[3]
COPIES = [folder for folder in (ROOT / "crds", ROOT / "charts/lastgood/files/crds") if folder.is_dir()]
MANIFESTS = sorted((ROOT / "manifests").rglob("*.yaml"))


def walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from walk(child, f"{path}.{name}")
    if "items" in schema:
        yield from walk(schema["items"], f"{path}[]")
    if "additionalProperties" in schema:
        yield from walk(schema["additionalProperties"], f"{path}.*")


SCHEMAS = {kind.name: structural(kind.model) for kind in KINDS}
NODES = [pytest.param(node, id=f"{kind}{path}") for kind, s in SCHEMAS.items() for path, node in walk(s)]
SPEC_NODES = [
    pytest.param(node, id=f"{kind}{path}")
    for kind, schema in SCHEMAS.items()
    for path, node in walk(schema["properties"]["spec"], ".spec")
    # Only Lastgood writes the trigger.
    if ".trigger." not in path
]


@pytest.mark.parametrize("folder", COPIES, ids=[str(f.relative_to(ROOT)) for f in COPIES])
def test_each_copy_is_what_the_models_say(folder: Path) -> None:
    """When this fails: `make generate`."""
    assert {f.name: f.read_text(encoding="utf-8") for f in folder.glob("*.yaml")} == files()


def test_kustomize_installs_all_of_them() -> None:
    listed = yaml.safe_load((ROOT / "manifests/install/kustomization.yaml").read_text(encoding="utf-8"))["resources"]
    assert set(files()) <= set(listed)


def test_the_folder_of_crds_is_there() -> None:
    assert ROOT / "crds" in COPIES


@pytest.mark.parametrize("node", NODES)
def test_structural(node: dict[str, Any]) -> None:
    assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title"} & set(node)
    assert node["type"] in {"object", "array", "string", "integer", "boolean"}
    assert node.get("default", 0) is not None
    assert None not in node.get("enum", [])
    assert ("items" in node) == (node["type"] == "array")
    assert ("properties" in node or "additionalProperties" in node) == (node["type"] == "object")
    assert not {"properties", "additionalProperties"} <= set(node)
    assert set(node.get("required", [])) <= set(node.get("properties", {}))


@pytest.mark.parametrize("node", SPEC_NODES)
def test_what_a_user_writes_is_bounded(node: dict[str, Any]) -> None:
    if node["type"] == "array":
        assert "maxItems" in node
    if "additionalProperties" in node:
        assert "maxProperties" in node
    if node["type"] == "string":
        assert "maxLength" in node or "enum" in node
    if node["type"] == "integer":
        assert {"minimum", "maximum"} <= set(node) or "minimum" in node


@pytest.mark.parametrize("node", NODES)
def test_map_keys_are_required_fields_of_the_items(node: dict[str, Any]) -> None:
    if node.get("x-kubernetes-list-type") == "map":
        assert set(node["x-kubernetes-list-map-keys"]) <= set(node["items"]["required"])


_WHOLE = {"policy", "lastGood", "hourly", "daily", "weekly", "monthly"}
"""Fields of objects whose default as a whole is another than that of their parts: a retention that is written keeps what
it says and no more."""


@pytest.mark.parametrize("node", NODES)
def test_a_default_is_one_that_its_own_field_takes(node: dict[str, Any]) -> None:
    default = node.get("default")
    if isinstance(default, str) and "enum" in node:
        assert default in node["enum"]
    if isinstance(default, dict):
        assert set(default) <= set(node["properties"])
        for name, value in default.items():
            assert value == node["properties"][name].get("default", value) or name in _WHOLE


@pytest.mark.parametrize("kind", KINDS, ids=[k.name for k in KINDS])
def test_what_a_crd_says_besides_its_schema(kind: Kind) -> None:
    body = crd(kind)
    (version,) = body["spec"]["versions"]
    assert body["metadata"]["name"] == f"{kind.plural}.lastgood.dev"
    assert body["spec"]["scope"] == "Namespaced"
    assert body["spec"]["names"]["categories"] == ["lastgood"]
    assert (version["name"], version["subresources"]) == ("v1alpha1", {"status": {}})


@pytest.mark.parametrize("kind", KINDS, ids=[k.name for k in KINDS])
def test_printer_columns_show_fields_that_exist(kind: Kind) -> None:
    known = {path.replace("[]", "") for path, _ in walk(structural(kind.model))}
    for column in kind.columns:
        path = column["jsonPath"].split("[?")[0]
        assert path in known or path == ".metadata.creationTimestamp"


@pytest.mark.parametrize("kind", KINDS, ids=[k.name for k in KINDS])
def test_what_a_user_writes_is_described(kind: Kind) -> None:
    spec = structural(kind.model)["properties"]["spec"]
    undescribed = [name for name, node in spec["properties"].items() if not node.get("description")]
    assert undescribed == []


@pytest.mark.parametrize("path", MANIFESTS, ids=[str(p.relative_to(ROOT)) for p in MANIFESTS])
def test_manifests_that_we_ship_are_right(path: Path) -> None:
    documents = [d for d in yaml.safe_load_all(path.read_text(encoding="utf-8")) if d]
    assert documents
    assert [sentence for d in documents for sentence in validate(d)] == []


def test_the_operator_may_read_each_kind_and_write_its_status() -> None:
    """`manifests/install/lastgood.yaml` is the chart, rendered."""
    documents = list(yaml.safe_load_all((ROOT / "manifests/install/lastgood.yaml").read_text(encoding="utf-8")))
    (role,) = [
        d for d in documents if d["kind"] == "ClusterRole" and d["metadata"]["name"] == "lastgood-system:lastgood"
    ]
    verbs: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for resource in rule["resources"] if rule["apiGroups"] == ["lastgood.dev"] else []:
            verbs.setdefault(resource, set()).update(rule["verbs"])
    for kind in KINDS:
        assert {"get", "list", "watch"} <= verbs[kind.plural]
        assert "patch" in verbs[f"{kind.plural}/status"]
    # A person declares objectives; the operator only reads them.
    assert verbs["servicelevelobjectives"] == {"get", "list", "watch"}
