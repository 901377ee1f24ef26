"""Reads of an API server over a kept connection: tests poll, and each kubectl is a tenth of a second of CPU."""

import base64
import ssl
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import yaml

Object = dict[str, Any]

_GROUPS = {
    "/apis/lastgood.dev/v1alpha1": (
        "monitoredservice",
        "servicelevelobjective",
        "rollback",
        "backupschedule",
        "backup",
        "restore",
    ),
    "/apis/apps/v1": ("deployment", "replicaset", "statefulset", "controllerrevision"),
    "/apis/batch/v1": ("job", "cronjob"),
    "/apis/events.k8s.io/v1": ("event",),
    "/api/v1": ("configmap", "secret", "pod", "service", "serviceaccount", "persistentvolumeclaim"),
}
PLACES = {kind: f"{group}/namespaces/{{}}/{kind}s" for group, kinds in _GROUPS.items() for kind in kinds}
"""Where objects of a kind are, by the kind's name as kubectl takes it, in the singular."""


def client_of(kubeconfig: Path) -> httpx.Client:
    """A client as whom a kubeconfig with everything in it names: by certificate or by token."""
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    if not headers:
        with tempfile.TemporaryDirectory() as folder:
            cert, key = Path(folder, "cert"), Path(folder, "key")
            cert.write_bytes(base64.b64decode(user["client-certificate-data"]))
            key.write_bytes(base64.b64decode(user["client-key-data"]))
            context.load_cert_chain(cert, key)
    return httpx.Client(base_url=cluster["server"], verify=context, timeout=20, trust_env=False, headers=headers)


@cache
def _client(kubeconfig: Path, written: int) -> httpx.Client:
    """One a process. A cluster that was made anew has another address, and another authority."""
    del written
    return client_of(kubeconfig)


def read(kubeconfig: Path, path: str) -> Object | None:
    """The object or list at a path; None when there is none."""
    answer = _client(kubeconfig, kubeconfig.stat().st_mtime_ns).get(path)
    if answer.status_code == httpx.codes.NOT_FOUND:
        assert answer.json()["reason"] == "NotFound", answer.text
        return None
    assert answer.is_success, answer.text
    found: Object = answer.json()
    return found
