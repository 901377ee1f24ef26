"""Declared objects read, and brought back, on a real API server."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.kube import until
from tests.integration.backups.conftest import TAGS, Pod, tree
from tests.integration.cluster import Cluster
from tests.lab import Lab

from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import ConfigSource
from lastgood.backups.config import ConfigEngine
from lastgood.domain.backups.ports import ClusterAnswer, JobFailed, Point
from lastgood.kube.plain import PlainApi, from_kubeconfig

SOURCE = ConfigSource.model_validate({"resources": ["configmaps"]})
Object = dict[str, Any]


class Shop:
    """A namespace with a repository, and what is done with both."""

    def __init__(self, pod: Pod, api: PlainApi, namespace: str) -> None:
        self.pod, self.api, self.namespace = pod, api, namespace
        self.core = f"/api/v1/namespaces/{namespace}"
        self.repository = pod.volume()
        self._folders = 0

    def engine(self, source: ConfigSource = SOURCE, api: PlainApi | None = None) -> ConfigEngine:
        return ConfigEngine(source, self.namespace, api or self.api, time.time)

    def folder(self) -> Path:
        self._folders += 1
        folder = self.pod.places.scratch / f"work-{self._folders}"
        folder.mkdir()
        return folder

    async def make(self, plural: str, kind: str, name: str, **rest: Any) -> Object:
        metadata = {"name": name, **rest.pop("metadata", {})}
        body = {"apiVersion": "v1", "kind": kind, "metadata": metadata, **rest}
        return dict(await self.api.request("POST", f"{self.core}/{plural}", body=body))

    async def config(self, name: str, **rest: Any) -> Object:
        return await self.make("configmaps", "ConfigMap", name, **rest)

    async def change(self, name: str, change: Object) -> None:
        path, content = f"{self.core}/configmaps/{name}", "application/merge-patch+json"
        await self.api.request("PATCH", path, body=change, content=content)

    async def delete(self, name: str) -> None:
        await self.api.request("DELETE", f"{self.core}/configmaps/{name}")

    async def data(self, name: str) -> Object:
        return dict((await self.api.get(f"{self.core}/configmaps/{name}"))["data"])

    async def point(self) -> RestoreJob:
        """Back up, and ask for it back."""
        await self.repository.ensure()
        await self.engine().full(self.folder(), self.repository, TAGS)
        (snapshot,) = await self.repository.snapshots({"part": "config"})
        return self.asked(snapshot.id)

    async def stored(self, files: Mapping[str, Object]) -> RestoreJob:
        """Ask for what somebody else has stored."""
        folder = self.folder()
        for name, body in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(yaml.safe_dump(body))
        await self.repository.ensure()
        return self.asked((await self.repository.store(folder, tags=TAGS)).id)

    def asked(self, snapshot: str) -> RestoreJob:
        spec = {"schedule": "orders", "to": {"latest": True}, "serviceAccount": "back"}
        return RestoreJob.model_validate({"name": "back", "uid": "r", "spec": spec, "snapshots": [snapshot]})

    async def restore(self, asked: RestoreJob, api: PlainApi | None = None) -> str:
        return await self.engine(api=api).restore(self.folder(), self.repository, asked)

    async def failed(self, asked: RestoreJob, api: PlainApi | None = None) -> JobFailed:
        with pytest.raises(JobFailed) as caught:
            await self.restore(asked, api)
        assert len(caught.value.message) <= 1024
        return caught.value


@pytest.fixture
def shop(pod: Pod, api: PlainApi, namespace: str) -> Shop:
    return Shop(pod, api, namespace)


async def test_what_was_declared_is_stored_and_can_be_read(shop: Shop, namespace: str) -> None:
    notes = {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}
    meta = {"labels": {"app": "shop"}, "annotations": notes}
    await shop.config("rules", metadata=meta, data={"rule": "old"})
    await shop.config("other", data={"x": "ü\n"})
    await shop.make("secrets", "Secret", "hidden", stringData={"k": "c4n4ry"})
    await shop.make("services", "Service", "web", spec={"ports": [{"port": 80}], "selector": {"app": "shop"}})
    await shop.repository.ensure()
    source = ConfigSource.model_validate({"resources": ["configmaps", "services", "backups.lastgood.dev", "secrets"]})
    work = shop.folder()
    made = await shop.engine(source).full(work, shop.repository, TAGS)
    assert made.contents == ["configmaps: 2", "services: 1", "backups.lastgood.dev: 0"]
    stored = tree(work)
    assert sorted(stored) == ["configmaps/other.yaml", "configmaps/rules.yaml", "services/web.yaml"]
    assert yaml.safe_load(stored["configmaps/rules.yaml"]) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "rules", "namespace": namespace, "labels": {"app": "shop"}, "annotations": {"a": "b"}},
        "data": {"rule": "old"},
    }
    assert "clusterIP" not in yaml.safe_load(stored["services/web.yaml"])["spec"]
    (snapshot,) = await shop.repository.snapshots({"part": "config"})
    proof = await shop.engine(source).test(shop.folder(), shop.repository, Point("b-1", 0.0, [snapshot]))
    assert proof.message.startswith("3 objects came back")

    whole = source.model_copy(update={"secrets": True})
    again = await shop.engine(whole).full(shop.folder(), shop.repository, {**TAGS, "backup": "b-2"})
    assert again.contents[-1] == "secrets: 1"
    missing = source.model_copy(update={"resources": ["widgets.none.test"]})
    with pytest.raises(JobFailed) as caught:
        await shop.engine(missing).full(shop.folder(), shop.repository, TAGS)
    assert caught.value.reason == "ObjectMissing"


async def test_they_come_back_as_they_were(shop: Shop) -> None:
    await shop.config("rules", data={"rule": "old"}, binaryData={"b": "AAE="})
    await shop.config("gone", data={"x": "ü\n"}, metadata={"labels": {"app": "shop"}, "finalizers": ["example.com/x"]})
    await shop.config("same", data={"y": "1"})
    asked = await shop.point()
    await shop.change("gone", {"metadata": {"finalizers": None}})
    await shop.delete("gone")
    await shop.change("rules", {"data": {"rule": "new", "more": "1"}, "binaryData": None})
    await shop.config("later", data={"z": "1"})
    before = (await shop.api.get(f"{shop.core}/configmaps/same"))["metadata"]["resourceVersion"]
    engine = shop.engine()
    word = await engine.verify(shop.folder(), shop.repository, asked)
    assert word == ("the API server would take 3 objects: 1 to create, 1 to change, 1 as in the backup already")
    assert await shop.data("rules") == {"rule": "new", "more": "1"}
    with pytest.raises(JobFailed) as caught:
        await engine.compare(shop.folder(), shop.repository, asked)
    assert caught.value.reason == "ValidationFailed"
    assert caught.value.message.startswith(
        "2 of 3 objects are not as in the backup: configmaps/gone (it does not exist), "
        "configmaps/rules (binaryData.b, data.more, data.rule)"
    )
    assert await shop.restore(asked) == (
        "3 objects: 1 created, 1 changed, 1 as in the backup already; what is not in the backup is as it was"
    )
    rules = await shop.api.get(f"{shop.core}/configmaps/rules")
    assert (rules["data"], rules["binaryData"]) == ({"rule": "old"}, {"b": "AAE="})
    assert "lastgood-restore" in {m["manager"] for m in rules["metadata"]["managedFields"]}
    gone = await shop.api.get(f"{shop.core}/configmaps/gone")
    assert (gone["data"], gone["metadata"]["labels"]) == ({"x": "ü\n"}, {"app": "shop"})
    assert "finalizers" not in gone["metadata"], "who would take it off may be gone"
    assert await shop.data("later") == {"z": "1"}
    assert (await shop.api.get(f"{shop.core}/configmaps/same"))["metadata"]["resourceVersion"] == before
    assert await engine.compare(shop.folder(), shop.repository, asked) == ("3 objects read back: as in the backup")
    assert (await shop.restore(asked)).startswith("3 objects: 3 as in the backup already")


async def test_one_object_that_is_refused_keeps_all_from_being_changed(shop: Shop) -> None:
    await shop.config("rules", data={"rule": "old"})
    await shop.config("frozen", data={"x": "1"})
    asked = await shop.point()
    await shop.change("rules", {"data": {"rule": "new"}})
    await shop.change("frozen", {"data": {"x": "2"}, "immutable": True})
    failed = await shop.failed(asked)
    assert (failed.reason, failed.untouched) == ("ClusterRefused", True)
    assert failed.message.startswith("nothing was changed: 1 of 2 objects would be refused. configmaps/frozen: ")
    assert "field is immutable when `immutable` is set" in failed.message
    assert failed.message.endswith("(delete it first: it is then made anew)")
    assert await shop.data("rules") == {"rule": "new"}
    await shop.delete("frozen")
    assert (await shop.restore(asked)).startswith("2 objects: 1 created, 1 changed")


async def test_what_cannot_be_an_object_here_is_refused(shop: Shop, namespace_for: Callable[[], str]) -> None:
    """A repository is somebody else's word: what it says goes into this namespace or nowhere."""
    other = namespace_for()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"x": "1"}}
    widget = {"apiVersion": "none.test/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
    climbing = {**config, "metadata": {"name": f"../../{other}/configmaps/a"}}
    unknown = {**config, "metadata": {"name": "u"}, "dataa": {"x": "1"}}
    asked = await shop.stored(
        {"configmaps/a.yaml": climbing, "configmaps/u.yaml": unknown, "widgets.none.test/w.yaml": widget}
    )
    failed = await shop.failed(asked)
    assert (failed.reason, failed.untouched) == ("ClusterRefused", True)
    assert "3 of 3 objects would be refused" in failed.message
    assert "its apiVersion or its name cannot be" in failed.message
    assert 'unknown field "dataa"' in failed.message
    assert "widgets.none.test/w: HTTP 404 (its kind is not served: install it first)" in failed.message
    elsewhere = {**config, "metadata": {"name": "a", "namespace": other}}
    assert (await shop.restore(await shop.stored({"configmaps/a.yaml": elsewhere}))).startswith("1 object: 1 created")
    assert await shop.data("a") == {"x": "1"}
    with pytest.raises(ClusterAnswer) as caught:
        await shop.api.get(f"/api/v1/namespaces/{other}/configmaps/a")
    assert caught.value.status == 404


async def test_deeds_are_not_done_again_and_what_a_controller_makes_is_left_alone(shop: Shop) -> None:
    owner = await shop.config("owner", data={})
    await shop.config("made", data={"x": "1"})
    asked = await shop.stored(
        {
            "configmaps/made.yaml": {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "made"},
                "data": {"x": "0"},
            },
            "restores.lastgood.dev/r.yaml": {
                "apiVersion": "lastgood.dev/v1alpha1",
                "kind": "Restore",
                "metadata": {"name": "r"},
                "spec": {"schedule": "orders", "needsApproval": False},
            },
        }
    )
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await shop.change("made", {"metadata": {"ownerReferences": [{**reference, "controller": True}]}})
    assert await shop.restore(asked) == (
        "1 object: none to write; left alone: 1 Backups, Restores and Rollbacks (deeds, not declarations), "
        "configmaps/made (ConfigMap owner makes it now); what is not in the backup is as it was"
    )
    assert await shop.data("made") == {"x": "1"}
    restores = f"/apis/lastgood.dev/v1alpha1/namespaces/{shop.namespace}/restores"
    assert (await shop.api.get(restores))["items"] == []


class Busy(PlainApi):
    """Somebody else is faster, once for each object."""

    def __init__(self, lab: Lab, shop: Shop) -> None:
        super().__init__(from_kubeconfig(Path(lab.kubeconfig)))
        self._shop, self._met = shop, set[str]()

    async def patch(self, path: str, change: Mapping[str, Any], *, dry_run: bool) -> Any:
        if not dry_run and path not in self._met:
            self._met.add(path)
            await self._shop.change(path.rpartition("/")[2], {"data": {"faster": "1"}})
        return await super().patch(path, change, dry_run=dry_run)


async def test_somebody_who_is_faster_is_seen(lab: Lab, shop: Shop) -> None:
    await shop.config("rules", data={"rule": "old"})
    asked = await shop.point()
    await shop.change("rules", {"data": {"rule": "new"}})
    busy = Busy(lab, shop)
    assert (await shop.restore(asked, busy)).startswith("1 object: 1 changed")
    await busy.aclose()
    assert await shop.data("rules") == {"rule": "old"}


async def test_what_passes_the_rehearsal_and_is_refused_then_is_told_exactly(shop: Shop, lab: Lab) -> None:
    """A quota that has room for one more lets each of two pass on its own."""
    for name in ("a", "b", "c"):
        await shop.config(name, data={"x": name})
    asked = await shop.point()
    await shop.delete("a")
    await shop.delete("b")
    await shop.change("c", {"data": {"x": "new"}})
    cluster = Cluster(lab.kubeconfig, shop.namespace)
    quotas = f"{shop.core}/resourcequotas"
    body = {"metadata": {"name": "few"}, "spec": {"hard": {"count/configmaps": "3"}}}
    cluster.request("POST", quotas, json=body)
    # With kube-root-ca.crt there are two.
    used = ("status", "used", "count/configmaps")

    def counted() -> bool:
        found: Any = cluster.request("GET", f"{quotas}/few")
        for key in used:
            found = (found or {}).get(key)
        return found == "2"

    until(counted, within=30, says="the quota is counted")
    failed = await shop.failed(asked)
    assert (failed.reason, failed.untouched) == ("PartlyRestored", False)
    assert failed.message.startswith(
        "2 of 3 objects are as in the backup (2 of them were written); these are not: configmaps/b: "
    )
    assert "exceeded quota: few" in failed.message
    assert (await shop.data("a"), await shop.data("c")) == ({"x": "a"}, {"x": "c"})
    cluster.request("DELETE", f"{quotas}/few")
    until(lambda: not cluster.request("GET", quotas)["items"], within=20, says="the quota is gone")
    assert (await shop.restore(asked)).startswith("3 objects: 1 created, 2 as in the backup already")
    cluster.close()


class Failing(PlainApi):
    """The API server goes away at the second object that is written for real."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(from_kubeconfig(Path(lab.kubeconfig)))
        self._written = 0

    async def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool) -> Any:
        if not dry_run:
            self._written += 1
            if self._written > 1:
                reason = "ClusterUnreachable"
                raise ClusterAnswer(reason, f"{path}: ConnectError", status=0, said="ConnectError")
        return await super().create(path, body, dry_run=dry_run)


async def test_an_api_server_that_goes_away_half_way(shop: Shop, lab: Lab) -> None:
    for name in ("a", "b", "c", "d"):
        await shop.config(name, data={"x": name})
    asked = await shop.point()
    for name in ("a", "b", "c", "d"):
        await shop.delete(name)
    failing = Failing(lab)
    failed = await shop.failed(asked, failing)
    await failing.aclose()
    assert (failed.reason, failed.untouched) == ("PartlyRestored", False)
    assert failed.message.startswith("1 of 4 objects are as in the backup (1 of them were written); then ")
    assert failed.message.endswith("what became of configmaps/b is not known, not tried: configmaps/c, configmaps/d")
