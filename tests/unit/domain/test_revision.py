"""What makes a revision the same one, and what of it may be shown."""

import copy
from typing import Any

import pytest

from lastgood.domain.revision import (
    MISSING,
    RESTART_ANNOTATION,
    RESTART_ANNOTATIONS,
    ConfigSeen,
    altered,
    clean_template,
    config_hash,
    difference,
    gitops_manager,
    named_configs,
    revision_key,
    secret_fingerprint,
    template_hash,
    version_of,
)

TEMPLATE: dict[str, Any] = {
    "metadata": {"labels": {"app": "shop"}},
    "spec": {"containers": [{"name": "app", "image": "shop:1", "env": [{"name": "A", "value": "1"}]}]},
}


def changed(**metadata: Any) -> dict[str, Any]:
    template = copy.deepcopy(TEMPLATE)
    template["metadata"].update(metadata)
    return template


def test_hashes_stand_for_ever() -> None:
    """Written by hand: a release that changed them would forget every good revision in every cluster."""
    assert template_hash(TEMPLATE) == "7555f7f6617d926c"
    assert config_hash({"data": {"a": "1"}}) == "1b160cd4ef564ed1"
    assert revision_key("t", [ConfigSeen("ConfigMap", "app", "h")]) == "13ef11f9b5dbcb83"


@pytest.mark.parametrize(
    "template",
    [
        pytest.param({"spec": TEMPLATE["spec"], "metadata": TEMPLATE["metadata"]}, id="order of keys"),
        pytest.param(changed(creationTimestamp=None), id="null creationTimestamp"),
        pytest.param(changed(annotations={RESTART_ANNOTATION: "uid"}), id="our restart annotation"),
    ],
)
def test_the_same_template(template: dict[str, Any]) -> None:
    assert template_hash(template) == template_hash(TEMPLATE)


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(changed(labels={"app": "other"}), id="label"),
        pytest.param(changed(annotations={"checksum/config": "now"}), id="a checksum of what it reads"),
        pytest.param({**TEMPLATE, "spec": {"containers": [{"name": "app", "image": "shop:2"}]}}, id="image"),
    ],
)
def test_another_template(template: dict[str, Any]) -> None:
    assert template_hash(template) != template_hash(TEMPLATE)


def test_cleaning_leaves_the_original_and_other_annotations_alone() -> None:
    original = changed(annotations={RESTART_ANNOTATION: "uid", "other": "stays"})
    before = copy.deepcopy(original)
    assert clean_template(original)["metadata"]["annotations"] == {"other": "stays"}
    assert original == before


def test_config_hash_sees_data_and_binary_data_and_nothing_else() -> None:
    plain = config_hash({"data": {"a": "1"}})
    assert plain == config_hash({"metadata": {"resourceVersion": "9"}, "data": {"a": "1"}, "binaryData": None})
    others = [{"data": {"a": "2"}}, {"binaryData": {"a": "1"}}, {"data": {"a": "1"}, "binaryData": {"b": "eA=="}}, {}]
    assert len({plain, *(config_hash(o) for o in others)}) == 5


def test_secret_fingerprint_changes_with_the_version_and_never_with_the_content() -> None:
    one = secret_fingerprint({"uid": "u", "resourceVersion": "1", "name": "x"})
    assert one == secret_fingerprint({"uid": "u", "resourceVersion": "1"})
    assert one != secret_fingerprint({"uid": "u", "resourceVersion": "2"})
    assert one != secret_fingerprint({"uid": "w", "resourceVersion": "1"})


def test_revision_key_compares_config_maps_in_any_order_and_no_secrets() -> None:
    a, b = ConfigSeen("ConfigMap", "a", "1"), ConfigSeen("ConfigMap", "b", "2")
    key = revision_key("t", [a, b])
    assert key == revision_key("t", [b, a, a])
    assert key == revision_key("t", [a, b, ConfigSeen("Secret", "s", "9")])
    assert key == revision_key("t", [a, ConfigSeen("ConfigMap", "b", "2", optional=True)])
    others = [
        revision_key("u", [a, b]),
        revision_key("t", [a]),
        revision_key("t", [a, ConfigSeen("ConfigMap", "b", MISSING)]),
        revision_key("t", []),
    ]
    assert key not in others
    assert len(set(others)) == 4


def pod(**spec: Any) -> dict[str, Any]:
    return {"spec": spec}


def container(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "i", **fields}]


CM, SECRET = ConfigSeen("ConfigMap", "x"), ConfigSeen("Secret", "x")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(
            pod(containers=container(envFrom=[{"configMapRef": {"name": "x"}}])), [CM], id="envFrom ConfigMap"
        ),
        pytest.param(pod(containers=container(envFrom=[{"secretRef": {"name": "x"}}])), [SECRET], id="envFrom Secret"),
        pytest.param(
            pod(containers=container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "x", "key": "k"}}}])),
            [CM],
            id="env ConfigMap",
        ),
        pytest.param(
            pod(containers=container(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}])),
            [SECRET],
            id="env Secret",
        ),
        pytest.param(
            pod(initContainers=container(envFrom=[{"configMapRef": {"name": "x"}}])), [CM], id="initContainer"
        ),
        pytest.param(pod(volumes=[{"name": "v", "configMap": {"name": "x"}}]), [CM], id="volume ConfigMap"),
        pytest.param(pod(volumes=[{"name": "v", "secret": {"secretName": "x"}}]), [SECRET], id="volume Secret"),
        pytest.param(
            pod(volumes=[{"name": "v", "projected": {"sources": [{"configMap": {"name": "x"}}]}}]),
            [CM],
            id="projected ConfigMap",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "projected": {"sources": [{"secret": {"name": "x"}}]}}]),
            [SECRET],
            id="projected Secret",
        ),
        pytest.param(
            pod(imagePullSecrets=[{"name": "x"}]),
            [ConfigSeen("Secret", "x", optional=True)],
            id="pull secret, without which a pod starts all the same",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "configMap": {"name": "x", "optional": True}}]),
            [ConfigSeen("ConfigMap", "x", optional=True)],
            id="optional",
        ),
        pytest.param(
            pod(
                containers=container(
                    envFrom=[{"configMapRef": {"name": "x", "optional": True}}, {"configMapRef": {"name": "x"}}]
                )
            ),
            [CM],
            id="optional here and needed there: needed",
        ),
        pytest.param(
            pod(
                containers=container(envFrom=[{"configMapRef": {"name": "b"}}, {"configMapRef": {"name": "a"}}]),
                volumes=[{"name": "v", "configMap": {"name": "a"}}],
            ),
            [ConfigSeen("ConfigMap", "a"), ConfigSeen("ConfigMap", "b")],
            id="once each, by name",
        ),
        pytest.param(pod(containers=container(env=[{"name": "A", "value": "x"}])), [], id="plain value"),
        pytest.param(
            pod(containers=container(env=None, envFrom=None), volumes=None, initContainers=None, imagePullSecrets=None),
            [],
            id="nulls",
        ),
        pytest.param(
            pod(volumes=[{"name": "v", "emptyDir": {}}, {"name": "w", "projected": {"sources": None}}]), [], id="others"
        ),
        pytest.param({}, [], id="no spec"),
    ],
)
def test_named_configs(template: dict[str, Any], expected: list[ConfigSeen]) -> None:
    assert named_configs(template) == expected


def deployment(image: str = "", *, label: str = "", pod_label: str = "") -> dict[str, Any]:
    name = "app.kubernetes.io/version"
    return {
        "metadata": {"labels": {name: label} if label else None},
        "spec": {
            "template": {
                "metadata": {"labels": {name: pod_label} if pod_label else {}},
                "spec": {"containers": [{"image": image}]},
            }
        },
    }


@pytest.mark.parametrize(
    ("body", "version"),
    [
        pytest.param(deployment("shop:1.2"), "1.2", id="tag"),
        pytest.param(deployment("shop"), "", id="no tag"),
        pytest.param(deployment("registry.example:5000/shop"), "", id="a registry's port is no tag"),
        pytest.param(deployment("registry.example:5000/team/shop:1.2"), "1.2", id="port and tag"),
        pytest.param(deployment("shop@sha256:abcd"), "", id="digest alone"),
        pytest.param(deployment("registry.example:5000/shop:1.2@sha256:abcd"), "1.2", id="tag and digest"),
        pytest.param(deployment("shop:1.2", label="v3"), "v3", id="the object's label"),
        pytest.param(deployment("shop:1.2", label="v3", pod_label="v4"), "v4", id="the template's label goes first"),
        pytest.param({"spec": {"template": {"spec": {"containers": []}}}}, "", id="no container"),
        pytest.param({}, "", id="nothing"),
    ],
)
def test_version_of(body: dict[str, Any], version: str) -> None:
    assert version_of(body) == version


def with_env(value: str, where: str = "containers") -> dict[str, Any]:
    return {"spec": {where: [{"name": "app", "env": [{"name": "PASSWORD", "value": value}]}]}}


@pytest.mark.parametrize("where", ["containers", "initContainers"])
def test_difference_tells_that_a_value_changed_and_not_what_it_was(where: str) -> None:
    text = difference(with_env("hunter2", where), with_env("swordfish", where))
    assert "hunter2" not in text
    assert "swordfish" not in text
    assert text.count("(hidden, hash ") == 2
    assert "PASSWORD" in text


def test_difference_of_equal_templates_is_empty_and_our_annotation_is_no_difference() -> None:
    assert difference(TEMPLATE, TEMPLATE) == ""
    assert difference(TEMPLATE, changed(annotations={RESTART_ANNOTATION: "uid"})) == ""


def test_difference_shows_lines_and_is_cut() -> None:
    other = {**TEMPLATE, "spec": {"containers": [{"name": "app", "image": "shop:2"}]}}
    assert '-    "image": "shop:1",' in difference(TEMPLATE, other)
    cut = difference(TEMPLATE, other, limit=40)
    assert cut[40:] == "\n… (cut; the ControllerRevisions hold both templates)"


def test_difference_leaves_its_arguments_alone() -> None:
    before = with_env("a")
    difference(before, with_env("b"))
    assert before == with_env("a")


def managed(manager: str, *, fields: dict[str, Any] | None = None, subresource: str = "") -> dict[str, Any]:
    owned = {"f:spec": {"f:template": {}}} if fields is None else fields
    return {"manager": manager, "fieldsV1": owned, **({"subresource": subresource} if subresource else {})}


@pytest.mark.parametrize("annotation", sorted(RESTART_ANNOTATIONS))
def test_a_restart_is_no_release(annotation: str) -> None:
    plain = {"metadata": {"labels": {"app": "x"}}, "spec": {}}
    restarted = {"metadata": {"labels": {"app": "x"}, "annotations": {annotation: "2026-01-01"}}, "spec": {}}
    assert template_hash(restarted) == template_hash(plain)
    more = {"metadata": {"labels": {"app": "x"}, "annotations": {annotation: "2026", "else": "1"}}, "spec": {}}
    assert template_hash(more) != template_hash(plain)


@pytest.mark.parametrize(
    ("metadata", "tool"),
    [
        ({}, ""),
        ({"labels": None, "annotations": None}, ""),
        ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, ""),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "a:b"}}, "Argo CD"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "Argo CD"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "shop"}}, "Flux"),
        ({"annotations": {"objectset.rio.cattle.io/id": "default-shop"}}, "Fleet"),
        ({"managedFields": [managed("argocd-controller")]}, "Argo CD"),
        ({"managedFields": [managed("kubectl"), managed("kustomize-controller")]}, "Flux"),
        ({"managedFields": [managed("argocd-controller", fields={"f:metadata": {}})]}, ""),
        ({"managedFields": [managed("argocd-controller", subresource="scale")]}, ""),
        ({"managedFields": [{"manager": "argocd-controller"}, managed("helm")]}, ""),
    ],
)
def test_gitops_manager(metadata: dict[str, Any], tool: str) -> None:
    assert gitops_manager(metadata) == tool


_TEMPLATE = {"spec": {"containers": [{"name": "app", "image": "app:1"}]}}
_MAP = {"data": {"k": "v"}}


def _kept(**data: Any) -> dict[str, Any]:
    body = {"template": _TEMPLATE, "configMaps": {"settings": _MAP}, **data}
    return {"metadata": {"ownerReferences": [{"uid": "ms"}]}, "data": body}


@pytest.mark.parametrize(
    ("snapshot", "wrong"),
    [
        pytest.param(_kept(), "", id="as it was kept"),
        pytest.param(_kept(configMaps={"settings": _MAP, "more": _MAP}), "", id="more than is wanted"),
        pytest.param({**_kept(), "metadata": {}}, "belongs to somebody else", id="no owner"),
        pytest.param(_kept(template={}), "holds another pod template", id="another template"),
        pytest.param({**_kept(), "data": None}, "holds another pod template", id="empty"),
        pytest.param(_kept(configMaps={}), "lacks ConfigMap settings", id="a ConfigMap is missing"),
        pytest.param(
            _kept(configMaps={"settings": {"data": {"k": "w"}}}),
            "holds another content of ConfigMap settings",
            id="a ConfigMap has another content",
        ),
    ],
)
def test_a_kept_revision_is_used_only_as_it_was_kept(snapshot: dict[str, Any], wrong: str) -> None:
    configs = [
        ConfigSeen("ConfigMap", "settings", config_hash(_MAP)),
        ConfigSeen("ConfigMap", "not-there-then", MISSING),
        ConfigSeen("Secret", "s", "whatever"),
    ]
    found = altered(snapshot, "ms", template_hash(_TEMPLATE), configs)
    assert found.startswith(wrong)
    assert bool(found) == bool(wrong)
