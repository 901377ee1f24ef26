"""Declared objects of a namespace as YAML, one file each, without what the cluster adds to them."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import ConfigSource
from lastgood.backups.folders import status_of
from lastgood.domain.backups.declared import declared
from lastgood.domain.backups.ports import JobFailed, KubeApi, Point, Repository
from lastgood.domain.backups.texts import stamp

PART = "config"
_PAGE = "200"
_FIRST = ("secrets", "configmaps")
"""Restored before what refers to them."""


class ConfigEngine:
    """See the ports `Engine`, `Tester` and `Restorer`."""

    def __init__(self, source: ConfigSource, namespace: str, api: KubeApi, now: Callable[[], float]) -> None:
        self._source = source
        self._namespace = namespace
        self._api = api
        self._now = now

    async def full(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port."""
        at = self._now()
        resources = [r for r in self._source.resources if r != "secrets"]
        if self._source.secrets:
            resources.append("secrets")
        contents = [f"{resource}: {await self._save(work, resource)}" for resource in resources]
        files = str(sum(1 for _ in _files(work)))
        made = await repository.store(work, tags={**tags, "part": PART, "objects": files})
        return status_of("config", at, [made], contents)

    async def incremental(self, work: Path, repository: Repository, tags: Mapping[str, str]) -> BackupStatus:
        """See the port: another full."""
        return await self.full(work, repository, tags)

    async def _path(self, resource: str) -> tuple[str, str]:
        """Where a resource is listed, and the apiVersion of what is listed there."""
        plural, _, group = resource.partition(".")
        if not group:
            return f"/api/v1/namespaces/{self._namespace}/{plural}", "v1"
        found = await self._api.get(f"/apis/{group}")
        version = found["preferredVersion"]["groupVersion"]
        return f"/apis/{version}/namespaces/{self._namespace}/{plural}", version

    async def _save(self, work: Path, resource: str) -> int:
        """Write all objects of a resource; how many."""
        path, version = await self._path(resource)
        folder = work / resource
        folder.mkdir()
        query, count = {"limit": _PAGE}, 0
        while True:
            page = await self._api.get(path, query)
            for item in page["items"]:
                # Items of a list leave out what the list says once.
                kept = declared({"apiVersion": version, "kind": page["kind"].removesuffix("List"), **item})
                if kept is not None:
                    text = yaml.safe_dump(kept, sort_keys=True, allow_unicode=True)
                    (folder / f"{kept['metadata']['name']}.yaml").write_text(text, encoding="utf-8")
                    count += 1
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return count
            query = {"limit": _PAGE, "continue": more}

    async def test(self, work: Path, repository: Repository, point: Point) -> Verified:
        """See the port: every file that was stored is an object."""
        count = 0
        for number, snapshot in enumerate(point.snapshots):
            folder = work / f"test-{number}"
            await repository.fetch(snapshot.id, folder)
            found = sum(1 for _ in _objects(folder))
            if str(found) != snapshot.tags.get("objects", str(found)):
                wanted = snapshot.tags.get("objects")
                raise JobFailed("RestoreTestFailed", f"{found} objects came back of {wanted}")
            count += found
        message = f"{count} objects came back, as many as were stored, and can be read"
        return Verified(how="RestoreTest", passed=True, at=stamp(0), message=message)

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port: server-side apply. What was declared since and is not in the backup stays."""
        if restore.spec.into is not None and restore.spec.into.in_place is not True:
            raise JobFailed("NotSupported", "declared objects are restored in place: write inPlace")
        for snapshot in restore.snapshots:
            await repository.fetch(snapshot, work)
        count = 0
        for resource, document in _objects(work):
            path, _ = await self._path(resource)
            await self._api.apply(f"{path}/{document['metadata']['name']}", document)
            count += 1
        return f"{count} objects were applied; objects that are not in the backup are as they were"

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """See the port: the API server has refused what is not valid when it was applied."""
        del work, restore
        counts = []
        for resource in self._source.resources:
            path, _ = await self._path(resource)
            page = await self._api.get(path, {"limit": "1"})
            more = (page.get("metadata") or {}).get("remainingItemCount") or 0
            counts.append(f"{resource}: {len(page['items']) + int(more)}")
        return "there are " + ", ".join(counts)


def _files(folder: Path) -> Iterator[Path]:
    names = sorted(p for p in folder.iterdir() if p.is_dir())
    for resource in sorted(names, key=lambda p: (p.name not in _FIRST, p.name)):
        yield from sorted(resource.glob("*.yaml"))


def _objects(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """All objects with their resource. Raises JobFailed RestoreTestFailed."""
    for file in _files(folder):
        try:
            document = yaml.safe_load(file.read_text(encoding="utf-8"))
            document["metadata"]["name"]
        except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError) as error:
            raise JobFailed("RestoreTestFailed", f"{file.parent.name}/{file.name} is no object") from error
        yield file.parent.name, document
