"""The port `Records`: Backup objects, as a job's ServiceAccount may write them."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from lastgood.api import GROUP, VERSION
from lastgood.api.backup import BackupStatus
from lastgood.domain.ports import ClusterError
from lastgood.kube.plain import PlainApi

_log = structlog.get_logger(__name__)
SCHEDULE_LABEL = f"{GROUP}/schedule-uid"
"""As on all objects of a schedule."""


class KubeRecords:
    """Backups of one namespace. No answer of the API server fails a backup: it is said in the log."""

    def __init__(self, api: PlainApi | None, *, namespace: str, schedule: str, uid: str, incremental: bool) -> None:
        self._api = api
        self._schedule = schedule
        self._uid = uid
        self._incremental = incremental
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/backups"

    async def _try(self, what: str, method: str, path: str, *, quiet: int = 0, **more: Any) -> tuple[int, Any]:
        """Status 200 and the answer; or the status of a refusal, 0 for no answer."""
        if self._api is None:
            return 0, None
        try:
            return 200, await self._api.request(method, path, **more)
        except ClusterError as error:
            if error.status != quiet:
                _log.warning("not recorded", what=what, status=error.status, message=error.message)
            return error.status, None

    async def begin(self, name: str, status: BackupStatus) -> None:
        """See the port."""
        await self._create(name)
        await self.tell(name, status)

    async def _create(self, name: str) -> None:
        body = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "Backup",
            "metadata": {"name": name, "labels": {SCHEDULE_LABEL: self._uid}},
            "spec": {"schedule": self._schedule, "type": "Incremental" if self._incremental else "Full"},
        }
        # 409: a person or an earlier pod made it.
        await self._try("begin", "POST", self._path, body=body, quiet=409)

    async def tell(self, name: str, status: BackupStatus) -> None:
        """See the port."""
        body = {"status": _patch(status)}
        path = f"{self._path}/{name}/status"
        content = "application/merge-patch+json"
        said, _ = await self._try("status", "PATCH", path, body=body, content=content, quiet=404)
        if said == 404:
            # It was never made: the API server was away when this run began.
            await self._create(name)
            await self._try("status", "PATCH", path, body=body, content=content)

    async def read(self, name: str) -> BackupStatus | None:
        """See the port."""
        _, found = await self._try("read", "GET", f"{self._path}/{name}", quiet=404)
        return None if found is None else BackupStatus.model_validate(found.get("status") or {})

    async def names(self, schedule: str) -> Sequence[str] | None:
        """See the port."""
        _, found = await self._try("list", "GET", self._path)
        if found is None:
            return None
        return [b["metadata"]["name"] for b in found["items"] if b["spec"].get("schedule") == schedule]

    async def remove(self, name: str) -> bool:
        """See the port."""
        if self._api is None:
            return False
        try:
            await self._api.request("DELETE", f"{self._path}/{name}")
        except ClusterError as error:
            if error.status == 404:
                return True
            _log.warning("not removed", backup=name, status=error.status, message=error.message)
            return False
        return True


def _patch(status: BackupStatus) -> Mapping[str, Any]:
    """As a merge patch: what is left out stays, so that what is empty must be said."""
    document: dict[str, Any] = status.model_dump(mode="json", by_alias=True)
    document.pop("observedGeneration", None)
    return document
