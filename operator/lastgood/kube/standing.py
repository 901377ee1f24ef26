"""The port `Schedule`: whether a receiver's schedule is still there.

With a schedule go its ServiceAccount and its RoleBindings, and usually before its pods are told to end: who asks only
then is refused. A watch that was opened before hears of the deletion all the same.
"""

import asyncio
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

import structlog

from lastgood.api import GROUP, VERSION
from lastgood.domain.backups.leaving import Standing
from lastgood.domain.ports import ClusterError
from lastgood.kube.plain import PlainApi

_log = structlog.get_logger(__name__)
_WATCH_SECONDS = 1500
_SHORT_SECONDS = 10.0
"""A watch that ends before is not asked for anew at once."""
_PAUSE_SECONDS = 15.0
"""Between attempts to watch."""
_ANSWER_SECONDS = 2.0


class KubeSchedule:
    """One BackupSchedule, by name and UID."""

    def __init__(self, api: PlainApi, *, namespace: str, name: str, uid: str) -> None:
        self._api = api
        self._namespace = f"/api/v1/namespaces/{namespace}"
        self._path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/backupschedules"
        self._query = {"fieldSelector": f"metadata.name={name}"}
        self._uid = uid
        self._gone = False
        """Seen to be so; a UID never comes back."""
        self._heard: Mapping[str, Any] | None = None
        """As an open watch told last."""

    async def follow(self) -> None:
        """See the port."""
        said = -1
        while not self._gone:
            began = asyncio.get_running_loop().time()
            try:
                found, version = await self._asked()
                await self._watched(found, version)
            except ClusterError as error:
                if error.status != said:
                    _log.warning("schedule not watched", status=error.status, message=error.message)
                said = error.status
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                said = -1
                if asyncio.get_running_loop().time() - began < _SHORT_SECONDS:
                    await asyncio.sleep(1)

    async def standing(self) -> Standing:
        """See the port."""
        ending = await self._ending()
        if self._gone:
            return Standing(known=True, ending=ending)
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found, _ = await self._asked()
        except (ClusterError, TimeoutError):
            return self._unasked(ending)
        return Standing(known=True, schedule=found, ending=ending)

    def _unasked(self, ending: bool | None) -> Standing:
        """By what an open watch has told, without an answer of now."""
        heard = None if self._gone else self._heard
        # Who is refused may have lost the right because the namespace began to end a moment ago.
        return Standing(known=self._gone or heard is not None, schedule=heard, ending=ending or None)

    async def _asked(self) -> tuple[Mapping[str, Any] | None, str]:
        """The object of that name, and the version to watch from.

        Of a list, since "not found" may also mean that the API server does not serve the kind.
        """
        answer = await self._api.request("GET", self._path, query=self._query)
        found = next(iter(answer["items"]), None)
        self._gone = self._gone or found is None or found["metadata"]["uid"] != self._uid
        return found, answer["metadata"]["resourceVersion"]

    async def _watched(self, found: Mapping[str, Any] | None, version: str) -> None:
        if self._gone:
            return
        query = {**self._query, "resourceVersion": version, "timeoutSeconds": str(_WATCH_SECONDS)}
        self._heard = found
        try:
            async with aclosing(self._api.watch(self._path, query, seconds=_WATCH_SECONDS + 30)) as events:
                async for event in events:
                    told = event["object"]
                    if event["type"] == "ERROR":
                        raise ClusterError(int(told.get("code") or 0), str(told.get("message"))[:300])
                    if event["type"] == "DELETED" and told["metadata"]["uid"] == self._uid:
                        self._gone = True
                        return
                    self._heard = told
        finally:
            self._heard = None

    async def _ending(self) -> bool | None:
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                found = await self._api.request("GET", self._namespace)
        except (ClusterError, TimeoutError):
            return None
        return bool(found["metadata"].get("deletionTimestamp"))
