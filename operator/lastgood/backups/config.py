"""Declared objects of a namespace as YAML, one file each, without what the cluster adds to them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lastgood.api.backup import BackupStatus, Verified
from lastgood.api.backupjob import RestoreJob
from lastgood.api.backupschedule import ConfigSource
from lastgood.backups.config_putting import Putting, many
from lastgood.backups.folders import status_of
from lastgood.domain.backups.declared import declared
from lastgood.domain.backups.ports import ClusterAnswer, JobFailed, KubeApi, Point, Repository, before_writing
from lastgood.domain.backups.putting import RECORDS, Wanted
from lastgood.domain.backups.texts import stamp

PART = "config"
_PAGE = "200"
_FIRST = ("secrets", "configmaps")
"""Restored before what refers to them."""


class ConfigEngine:
    """See the ports `Engine`, `Tester`, `Verifier`, `Restorer` and `Comparer`."""

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
        contents = []
        for resource in resources:
            try:
                contents.append(f"{resource}: {await self._save(work, resource)}")
            except ClusterAnswer as error:
                if error.status != 403:
                    raise
                more = "rights for more kinds: backups.configRules of the chart, or a Role bound to that ServiceAccount"
                raise JobFailed(error.reason, f"{error.said}; {more}") from error
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

    async def verify(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port: the API server says of each object whether it would take it."""
        objects, putting = await self._to_put(work, repository, restore)
        tally = await putting.rehearse(objects)
        return f"the API server would take {many(len(objects))}: {tally.told(('to create', 'to change'))}"

    async def restore(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port. Nothing is written before a dry run of all has gone well; what is not in the backup stays."""
        with before_writing():
            objects, putting = await self._to_put(work, repository, restore)
            await putting.rehearse(objects)
        tally = await putting.put(objects)
        return f"{many(len(objects))}: {tally.told(('created', 'changed'))}; what is not in the backup is as it was"

    async def compare(self, work: Path, repository: Repository, restore: RestoreJob) -> str:
        """See the port `Comparer`."""
        objects, putting = await self._to_put(work, repository, restore)
        return await putting.compare(objects)

    async def validate(self, work: Path, restore: RestoreJob) -> str:
        """See the port: ``compare`` is asked instead."""
        del work, restore
        raise JobFailed("NotSupported", "declared objects are compared with what is stored")

    async def _to_put(
        self, work: Path, repository: Repository, restore: RestoreJob
    ) -> tuple[Sequence[Wanted], Putting]:
        """The objects of the point, what they refer to first, and what writes them."""
        for snapshot in restore.snapshots:
            await repository.fetch(snapshot, work)
        objects, records = [], 0
        for resource, document in _objects(work):
            # Stored by an older version, it may hold more than what was declared.
            body = declared(document)
            if resource in RECORDS:
                records += 1
            elif body is not None:
                objects.append(Wanted(resource, body))
        if not objects:
            raise JobFailed("RestoreTestFailed", f"Backup {restore.backup} holds no object that can be brought back")
        left = [f"{records} Backups, Restores and Rollbacks (deeds, not declarations)"] if records else []
        stopped = {(s.kind, s.name) for s in restore.spec.stop}
        return objects, Putting(self._api, self._namespace, restore.spec.service_account or "", stopped, left)


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
