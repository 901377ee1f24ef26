"""The API server over httpx alone: what a job's pod needs of it, without the 15 MB and the second of a whole client."""

import asyncio
import base64
import json
import os
import ssl
import tempfile
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lastgood.domain.backups.ports import ClusterAnswer
from lastgood.domain.ports import ClusterError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TIMEOUT = 10.0
_ATTEMPTS = 4
_MANAGER = "lastgood-restore"
"""Field manager of what is brought back: `kubectl get --show-managed-fields` tells it from what a person wrote."""
_SENTENCE = 500
_PASSING = frozenset({0, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Door:
    """How the API server is reached."""

    server: str
    trust: ssl.SSLContext | bool
    token: Path | None = None
    """Read anew each time: the kubelet renews it."""


def in_cluster() -> Door | None:
    """From the pod's ServiceAccount; None outside a cluster."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    if not host or not (ACCOUNT / "token").exists():
        return None
    shown = f"[{host}]" if ":" in host else host
    return Door(f"https://{shown}:{port}", ssl.create_default_context(cafile=ACCOUNT / "ca.crt"), ACCOUNT / "token")


def from_kubeconfig(file: Path) -> Door:
    """From the current context of a kubeconfig with a client certificate or a token in it."""
    import yaml  # noqa: PLC0415 - a pod has no kubeconfig

    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    context = next(c["context"] for c in config["contexts"] if c["name"] == config["current-context"])
    cluster = next(c["cluster"] for c in config["clusters"] if c["name"] == context["cluster"])
    user = next(u["user"] for u in config["users"] if u["name"] == context["user"])

    def text(of: Mapping[str, Any], key: str) -> str:
        if f"{key}-data" in of:
            return base64.b64decode(of[f"{key}-data"]).decode()
        return Path(of[key]).read_text(encoding="utf-8")

    trust = ssl.create_default_context(cadata=text(cluster, "certificate-authority"))
    if "client-certificate-data" in user or "client-certificate" in user:
        # The ssl module takes a certificate from a file alone.
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(text(user, "client-certificate") + "\n" + text(user, "client-key"))
            pem.flush()
            trust.load_cert_chain(pem.name)
    token = user.get("tokenFile")
    return Door(cluster["server"], trust, Path(token) if token else None)


class PlainApi:
    """The ports `KubeApi`, and what `KubeRecords` stands on."""

    def __init__(self, door: Door, *, attempts: int = _ATTEMPTS) -> None:
        self._door = door
        self._attempts = attempts
        self._away = False
        self._client = httpx.AsyncClient(base_url=door.server, verify=door.trust, timeout=_TIMEOUT, trust_env=False)

    async def aclose(self) -> None:
        """Close connections."""
        await self._client.aclose()

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Accept": "application/json", "Content-Type": content}
        if self._door.token is not None:
            headers["Authorization"] = f"Bearer {self._door.token.read_text(encoding='ascii').strip()}"
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        content: str = "application/json",
        query: Mapping[str, str] | None = None,
    ) -> Any:
        """One request, tried again while the server does not answer or is busy. Raises ClusterError."""
        for attempt in range(self._attempts):
            try:
                answer = await self._once(method, path, body, content, query)
            except ClusterError as error:
                # One that has been away for a whole round of attempts is asked once a call, until it is back.
                if self._away or attempt + 1 == self._attempts or error.status not in _PASSING:
                    self._away = error.status == 0
                    raise
                await asyncio.sleep(0.5 * 2**attempt)
            else:
                self._away = False
                return answer
        raise AssertionError

    async def _once(self, method: str, path: str, body: Any, content: str, query: Mapping[str, str] | None) -> Any:
        try:
            answer = await self._client.request(
                method, path, json=body, params=dict(query or {}), headers=self._headers(content)
            )
        except (httpx.HTTPError, OSError) as error:
            raise ClusterError(0, type(error).__name__) from error
        if answer.status_code >= 400:
            raise ClusterError(answer.status_code, _sentence(answer))
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise ClusterError(0, "the answer is no JSON") from error

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """See the port."""
        try:
            return await self.request("GET", path, query=query)
        except ClusterError as error:
            raise _failed(error, path) from error

    async def create(self, path: str, body: Mapping[str, Any], *, dry_run: bool) -> Any:
        """See the port."""
        return await self._write("POST", path, body, "application/json", dry_run=dry_run)

    async def patch(self, path: str, change: Mapping[str, Any], *, dry_run: bool) -> Any:
        """See the port."""
        return await self._write("PATCH", path, change, "application/merge-patch+json", dry_run=dry_run)

    async def _write(self, method: str, path: str, body: Mapping[str, Any], content: str, *, dry_run: bool) -> Any:
        query = {"fieldManager": _MANAGER, "fieldValidation": "Strict"} | ({"dryRun": "All"} if dry_run else {})
        try:
            return await self.request(method, path, body=dict(body), content=content, query=query)
        except ClusterError as error:
            raise _failed(error, path) from error

    async def watch(self, path: str, query: Mapping[str, str], *, seconds: float) -> AsyncGenerator[Any, None]:
        """Events at a path, as they come, until the API server ends the watch. Raises ClusterError.

        ``seconds``: without a word for so long, the server is away.
        """
        try:
            async with self._client.stream(
                "GET",
                path,
                params={**query, "watch": "true"},
                headers=self._headers("application/json"),
                timeout=httpx.Timeout(_TIMEOUT, read=seconds),
            ) as answer:
                if answer.status_code >= 400:
                    await answer.aread()
                    raise ClusterError(answer.status_code, _sentence(answer))
                async for line in answer.aiter_lines():
                    yield json.loads(line)
        except (httpx.HTTPError, OSError, ValueError) as error:
            raise ClusterError(0, type(error).__name__) from error

    async def save(self, path: str, query: Mapping[str, str], into: Path) -> int:
        """See the port."""
        written = 0
        try:
            async with self._client.stream(
                "GET", path, params=dict(query), headers=self._headers("application/json"), timeout=httpx.Timeout(60.0)
            ) as answer:
                if answer.status_code < 400:
                    with into.open("wb") as sink:
                        async for part in answer.aiter_bytes():
                            written += sink.write(part)
                    return written
                await answer.aread()
        except (httpx.HTTPError, OSError) as error:
            raise _failed(ClusterError(0, type(error).__name__), path) from error
        raise _failed(ClusterError(answer.status_code, _sentence(answer)), path)


def _sentence(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])[:_SENTENCE]
    except (ValueError, KeyError, TypeError):
        return f"HTTP {answer.status_code}"


def _failed(error: ClusterError, path: str) -> ClusterAnswer:
    reason = {0: "ClusterUnreachable", 401: "ClusterForbidden", 403: "ClusterForbidden", 404: "ObjectMissing"}
    return ClusterAnswer(
        reason.get(error.status, "ClusterRefused"),
        f"{path}: {error.message}",
        status=error.status,
        said=error.message,
    )
