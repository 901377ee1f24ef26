"""The port `Cluster` over `kubernetes.aio`: plain JSON in and out, every write fenced and counted."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote
from urllib.request import getproxies

import aiohttp
from kubernetes.aio import client

from lastgood.api import GROUP, VERSION
from lastgood.domain.ports import ClusterError, Object
from lastgood.kube.events import event_object

_PREFIX = {
    "deployments": "/apis/apps/v1",
    "replicasets": "/apis/apps/v1",
    "controllerrevisions": "/apis/apps/v1",
    "pods": "/api/v1",
    "configmaps": "/api/v1",
    "secrets": "/api/v1",
    "statefulsets": "/apis/apps/v1",
    "serviceaccounts": "/api/v1",
    "persistentvolumeclaims": "/api/v1",
    "jobs": "/apis/batch/v1",
    "cronjobs": "/apis/batch/v1",
    "horizontalpodautoscalers": "/apis/autoscaling/v2",
    "rolebindings": "/apis/rbac.authorization.k8s.io/v1",
    "leases": "/apis/coordination.k8s.io/v1",
    "events": "/apis/events.k8s.io/v1",
    "monitoredservices": f"/apis/{GROUP}/{VERSION}",
    "servicelevelobjectives": f"/apis/{GROUP}/{VERSION}",
    "rollbacks": f"/apis/{GROUP}/{VERSION}",
    "backupschedules": f"/apis/{GROUP}/{VERSION}",
    "backups": f"/apis/{GROUP}/{VERSION}",
    "restores": f"/apis/{GROUP}/{VERSION}",
}
_TIMEOUT = 10.0
_PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_PAGE = 2000
_SMALL_PAGE = 200


class KubeCluster:
    """Access to one API server.

    ``fence`` raises NotLeader when this process may not write. ``count`` is told (verb, kind, status) of each write.
    ``namespaces`` limits what is listed; empty means all.
    """

    def __init__(
        self,
        *,
        configuration: client.Configuration,
        fence: Callable[[], None],
        count: Callable[[str, str, int], None],
        namespaces: Sequence[str] = (),
        identity: str = "lastgood",
    ) -> None:
        # Without a proxy to find there: aiohttp looks into ~/.netrc too, in a thread, before each request.
        configuration.client_session_kwargs = {"trust_env": bool(getproxies())}
        self._client = client.ApiClient(configuration)
        self._fence = fence
        self._count = count
        self._namespaces = tuple(namespaces)
        self._identity = identity

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: str = "application/json",
        accept: str = "application/json",
        query: Sequence[tuple[str, str]] = (),
        timeout: float = _TIMEOUT,
    ) -> Any:
        """One request as it is: neither fenced nor counted. Raises ClusterError, and ValueError for no JSON."""
        _, url, headers, payload, post = await self._client.param_serialize(
            method,
            path,
            query_params=list(query),
            header_params={"Accept": accept, "Content-Type": content},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            async with asyncio.timeout(timeout):
                response = await self._client.call_api(method, url, headers, payload, post, _preload_content=False)
                raw = await response.read()
                status = response.status
        except (TimeoutError, aiohttp.ClientError, OSError, client.ApiException) as error:
            if isinstance(error, client.ApiException) and error.status:
                raise ClusterError(error.status, _sentence(error.body or b"")) from None
            raise ClusterError(0, type(error).__name__) from error
        if status >= 400:
            raise ClusterError(status, _sentence(raw))
        return json.loads(raw) if raw else None

    async def _write(self, verb: str, method: str, kind: str, path: str, **more: Any) -> Any:
        self._fence()
        return await self.past_fence(verb, method, kind, path, **more)

    async def past_fence(self, verb: str, method: str, kind: str, path: str, **more: Any) -> Any:
        """A counted write that any replica may make; who calls it says why. Raises ClusterError."""
        try:
            answer = await self.request(method, path, **more)
        except ClusterError as error:
            self._count(verb, kind, error.status)
            raise
        self._count(verb, kind, 200)
        return answer

    async def read(self, path: str) -> Any:
        """GET what is no object of a kind that is written here. Raises ClusterError, and ValueError for no JSON."""
        return await self.request("GET", path)

    async def get(self, kind: str, namespace: str, name: str) -> Object | None:
        """See the port."""
        try:
            found: Object = await self.request("GET", path_of(kind, namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise
        return found

    async def list_objects(self, kind: str, namespace: str, selector: str = "") -> Sequence[Object]:
        """See the port."""
        query = [("labelSelector", selector)] if selector else []
        answer = await self.request("GET", path_of(kind, namespace), query=query)
        return list(answer["items"] or ())

    async def each(self, kind: str) -> AsyncIterator[Object]:
        """See the port."""
        for namespace in self._namespaces or ("",):
            query = [("limit", str(_SMALL_PAGE))]
            while True:
                page = await self.request("GET", path_of(kind, namespace), query=query, timeout=60)
                for item in page["items"] or ():
                    yield item
                more = page["metadata"].get("continue")
                if not more:
                    break
                query = [("limit", str(_SMALL_PAGE)), ("continue", more)]

    async def list_names(self, kind: str) -> frozenset[tuple[str, str, str]]:
        """See the port."""
        found: set[tuple[str, str, str]] = set()
        for namespace in self._namespaces or ("",):
            query = [("limit", str(_PAGE))]
            while True:
                page = await self.request("GET", path_of(kind, namespace), accept=_PARTIAL, query=query, timeout=60)
                # A list of nothing may be null: that of names alone is.
                for item in page["items"] or ():
                    metadata = item["metadata"]
                    found.add((metadata["namespace"], metadata["name"], metadata["uid"]))
                more = page["metadata"].get("continue")
                if not more:
                    break
                query = [("limit", str(_PAGE)), ("continue", more)]
        return frozenset(found)

    async def create(self, kind: str, namespace: str, body: Object) -> Object:
        """See the port."""
        created: Object = await self._write("create", "POST", kind, path_of(kind, namespace), body=body)
        return created

    async def replace(self, kind: str, namespace: str, body: Object) -> Object:
        """See the port."""
        path = path_of(kind, namespace, body["metadata"]["name"])
        replaced: Object = await self._write("update", "PUT", kind, path, body=body)
        return replaced

    async def delete(self, kind: str, namespace: str, name: str) -> None:
        """See the port."""
        try:
            await self._write("delete", "DELETE", kind, path_of(kind, namespace, name))
        except ClusterError as error:
            if error.status != 404:
                raise

    async def json_patch(
        self, kind: str, namespace: str, name: str, patch: Sequence[Object], *, dry_run: bool = False
    ) -> Object:
        """See the port."""
        query = [("fieldManager", "lastgood")] + ([("dryRun", "All")] if dry_run else [])
        patched: Object = await self._write(
            "dry-run" if dry_run else "patch",
            "PATCH",
            kind,
            path_of(kind, namespace, name),
            body=list(patch),
            content="application/json-patch+json",
            query=query,
        )
        return patched

    async def merge_status(self, kind: str, namespace: str, name: str, status: Mapping[str, Any]) -> Object:
        """See the port."""
        merged: Object = await self._write(
            "patch-status",
            "PATCH",
            kind,
            path_of(kind, namespace, name) + "/status",
            body={"status": dict(status)},
            content="application/merge-patch+json",
        )
        return merged

    async def read_key(self, kind: str, namespace: str, name: str, key: str) -> bytes | None:
        """See the port."""
        found = await self.get("secrets" if kind == "Secret" else "configmaps", namespace, name)
        if found is None:
            return None
        if kind == "Secret":
            value = (found.get("data") or {}).get(key)
            return None if value is None else base64.b64decode(value)
        plain = (found.get("data") or {}).get(key)
        if plain is not None:
            return str(plain).encode()
        binary = (found.get("binaryData") or {}).get(key)
        return None if binary is None else base64.b64decode(binary)

    async def event(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        """See the port."""
        self._fence()
        await self.event_past_fence(regarding, kind, reason, message, at)

    async def event_past_fence(self, regarding: Object, kind: str, reason: str, message: str, at: float) -> None:
        """An Event that any replica may write: of what it was told, not of what it decided. Raises ClusterError."""
        namespace = regarding["metadata"]["namespace"]
        body = event_object(regarding, kind, reason, message, at=at, instance=self._identity)
        await self.past_fence("create", "POST", "events", path_of("events", namespace), body=body)

    async def probe_kind(self, kind: str, namespace: str) -> None:
        """Raise ClusterError unless this kind is served to us."""
        await self.request("GET", path_of(kind, namespace), query=[("limit", "1")], timeout=5)

    async def alive(self) -> str:
        """See the port."""
        try:
            await self.request("GET", "/version", timeout=2)
        except ClusterError as error:
            return f"the API server: {error}"
        return ""


def path_of(kind: str, namespace: str, name: str = "") -> str:
    """Where the API server serves a kind, or one object of it."""
    where = f"/namespaces/{quote(namespace)}" if namespace else ""
    return f"{_PREFIX[kind]}{where}/{kind}" + (f"/{quote(name)}" if name else "")


def _sentence(raw: bytes | str) -> str:
    """The message of a Status object; an admission webhook's word may hold anything, so no more than a line."""
    try:
        return str(json.loads(raw).get("message", ""))[:500]
    except (ValueError, AttributeError):
        return "the answer was no Kubernetes Status"
