"""Signals over HTTP against a real API server: real tokens, real reviews, real status."""

import datetime as dt
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Object
from tests.integration.manifests import deployment
from tests.integration.process import Operator, free_port
from tests.integration.stage import Stage
from tests.unit.probes.certs import Authority

RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/{}"
SECURITY = {"triggers": {"healthFailing": {"for": "1h"}, "signals": [{"type": "SecurityIncident"}]}}


class Endpoint:
    """The endpoint of an operator, and accounts that speak to it."""

    def __init__(self, cluster: Cluster, url: str) -> None:
        self._cluster, self.url = cluster, url

    def account(self, name: str, *, signaller: bool) -> str:
        """A token of a new service account."""
        accounts = f"/api/v1/namespaces/{self._cluster.namespace}/serviceaccounts"
        self._cluster.request("POST", accounts, json={"metadata": {"name": name}})
        if signaller:
            place = RBAC.format(self._cluster.namespace)
            rule = {"apiGroups": ["lastgood.dev"], "resources": ["monitoredservices/signals"], "verbs": ["create"]}
            self._cluster.request("POST", f"{place}/roles", json={"metadata": {"name": name}, "rules": [rule]})
            binding = {
                "metadata": {"name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self._cluster.namespace}],
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            }
            self._cluster.request("POST", f"{place}/rolebindings", json=binding)
        told = self._cluster.request("POST", f"{accounts}/{name}/token", json={"spec": {"expirationSeconds": 3600}})
        return str(told["status"]["token"])

    def post(self, body: Any, token: str = "", path: str = "", **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = {"content": body} if isinstance(body, bytes) else {"json": body}
        return httpx.post(
            f"{self.url}/v1/signals{path}", headers=headers, timeout=30, trust_env=False, **content, **more
        )


@pytest.fixture
def endpoint(cluster: Cluster, spawn: Callable[..., Operator]) -> Endpoint:
    port = free_port()
    operator = spawn("--signals-listen", f"127.0.0.1:{port}")
    operator.wait_for_log('"leading"')
    return Endpoint(cluster, f"http://127.0.0.1:{port}")


@pytest.fixture
def path(cluster: Cluster) -> str:
    return f"/{cluster.namespace}/app"


def alert(status: str = "firing", labels: Object | None = None, **more: Any) -> Object:
    """A message as Alertmanager sends it, with fields that nobody reads here."""
    one = {
        "status": status,
        "labels": {"alertname": "ShellInContainer", **(labels or {})},
        "annotations": {"summary": "a shell was run in a container"},
        "startsAt": dt.datetime.now(tz=dt.UTC).isoformat().replace("+00:00", "Z"),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": "79f1a2c3d4e5f607",
        **more,
    }
    return {"version": "4", "status": status, "receiver": "lastgood", "groupKey": "{}", "alerts": [one]}


def standing(stage: Stage) -> list[Object]:
    return list(stage.status("app").get("signals") or ())


def release_v2(stage: Stage) -> None:
    """A release whose probes pass, and which is not seen to be good for a while."""
    was = stage.status("app")["current"]["key"]
    stage.cluster.patch("MonitoredService", "app", {"spec": {"stability": {"soak": "10m"}}})
    stage.cluster.put(deployment("app", "v2"))
    until(lambda: stage.status("app")["current"]["key"] != was, within=20, says="v2 is seen")


def test_a_signal_with_a_good_token_rolls_back(stage: Stage, endpoint: Endpoint, path: str) -> None:
    token = endpoint.account("falco", signaller=True)
    stage.become_good("app", rollback=SECURITY)
    release_v2(stage)
    answer = endpoint.post({"type": "SecurityIncident", "reason": "a shell\nin a container"}, token, path)
    assert answer.status_code == 200, answer.text
    ended = stage.rolled_back("app")
    assert ended["spec"]["trigger"] | {"message": ""} == ended["spec"]["trigger"] | {
        "type": "Signal",
        "name": "SecurityIncident",
        "message": "",
    }
    user = f"system:serviceaccount:{stage.cluster.namespace}:falco"
    (stood,) = standing(stage)
    assert (stood["by"], stood["reason"], stood["id"]) == (user, "a shell in a container", "manual")
    said = until(
        lambda: [e["note"] for e in stage.cluster.all("Event") if e["reason"] == "SignalRaised"],
        within=10,
        says="an Event tells of the signal",
    )
    assert said == [f"SecurityIncident (manual) was raised by {user}: a shell in a container"]
    assert token not in str(stage.cluster.all("Event")) + str(stage.status("app"))
    answer = endpoint.post({"type": "SecurityIncident", "status": "resolved"}, token, path)
    assert answer.json()["results"][0]["result"] == "Resolved"
    assert standing(stage) == []
    stage.wait("app", "RollingBack", "NotNeeded")


def test_who_may_not_is_refused_and_nothing_is_noted(stage: Stage, endpoint: Endpoint, path: str) -> None:
    stage.become_good("app", rollback=SECURITY)
    body = {"type": "SecurityIncident"}
    assert endpoint.post(body, path=path).status_code == 401
    assert endpoint.post(body, "eyJhbGciOiJub25lIn0.e30.", path).status_code == 401
    denied = endpoint.post(body, endpoint.account("nobody", signaller=False), path)
    assert denied.status_code == 403
    assert "monitoredservices/signals" in denied.json()["results"][0]["message"]
    other = endpoint.account("falco", signaller=True)
    assert endpoint.post(body, other, "/kube-system/app").status_code == 403
    assert endpoint.post(body, other, f"/{stage.cluster.namespace}/absent").status_code == 404
    assert standing(stage) == []
    assert stage.rollbacks("app") == []


def test_an_alertmanager_names_its_service_by_labels(stage: Stage, endpoint: Endpoint) -> None:
    token = endpoint.account("alertmanager", signaller=True)
    stage.become_good("app", rollback={"triggers": {"healthFailing": {"for": "1h"}}})
    here = {"namespace": stage.cluster.namespace}
    for labels in (
        {**here, "lastgood_service": "app", "lastgood_signal": "DataIntegrity"},
        {**here, "deployment": "app", "lastgood_signal": "DataIntegrity"},
        {"k8s_ns_name": stage.cluster.namespace, "k8s_pod_name": "app-5d4f8c7b9-x2x4z"},
    ):
        kind = labels.get("lastgood_signal", "SecurityIncident")
        answer = endpoint.post(alert(labels=labels), token, "?type=SecurityIncident")
        assert answer.status_code == 200, answer.text
        assert "does not name it" in answer.json()["results"][0]["message"]
        (stood,) = standing(stage)
        assert (stood["type"], stood["id"]) == (kind, "79f1a2c3d4e5f607")
        assert stood["reason"] == "ShellInContainer: a shell was run in a container"
        again = endpoint.post(alert("resolved", labels=labels), token, "?type=SecurityIncident")
        assert again.json()["results"][0]["result"] == "Resolved"
        assert standing(stage) == []
    assert (
        endpoint.post(alert(labels={**here, "deployment": "absent"}), token, "?type=DataIntegrity").status_code == 404
    )


def test_many_at_once_are_all_kept(stage: Stage, endpoint: Endpoint, path: str) -> None:
    token = endpoint.account("many", signaller=True)
    stage.become_good("app")
    answers: list[int] = []

    def send(number: int) -> None:
        answers.append(endpoint.post({"type": "DataIntegrity", "id": f"n{number}"}, token, path).status_code)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 6
    assert sorted(s["id"] for s in standing(stage)) == [f"n{n}" for n in range(6)]


HOSTILE: dict[str, tuple[bytes | Object, int]] = {
    "no JSON": (b"{", 400),
    "nested": (b"[" * 100_000, 400),
    "no object": (b"[]", 400),
    "unknown type": ({"type": "Fire"}, 400),
    "bad time": ({"type": "DataIntegrity", "for": "forever"}, 400),
    "too long": ({"type": "DataIntegrity", "for": "9999h"}, 400),
    "id with a path": ({"type": "DataIntegrity", "id": "../x"}, 400),
    "other version": ({**alert(), "version": "3"}, 400),
    "no alerts": ({"version": "4", "alerts": []}, 400),
    "alert without a type": (alert(), 400),
    "bad start": (alert(labels={"lastgood_signal": "DataIntegrity"}, startsAt="yesterday"), 400),
    "large": (b" " * 600_000, 413),
}


@pytest.mark.parametrize("path_or_not", [True, False])
def test_hostile_bodies_are_refused_with_a_sentence(
    stage: Stage, endpoint: Endpoint, path: str, path_or_not: bool
) -> None:
    token = endpoint.account("hostile", signaller=True)
    stage.become_good("app")
    for name, (body, status) in HOSTILE.items():
        answer = endpoint.post(body, token, path if path_or_not else "")
        assert answer.status_code == status, f"{name}: {answer.status_code} {answer.text}"
        assert "error" in answer.json() or answer.json()["results"][0]["result"] == "Unclear", name
        assert len(answer.text) < 1000, name
    assert endpoint.post({"type": "DataIntegrity"}, token, "/../app").status_code in {400, 404}
    assert standing(stage) == []


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this machine's loopback, with its key, and the authority that signed it."""
    authority = Authority.make("lastgood signals authority")
    both, trusted = tmp_path / "tls.pem", tmp_path / "ca.crt"
    both.write_bytes(authority.sign("127.0.0.1"))
    trusted.write_bytes(authority.pem)
    return both, trusted


def test_over_tls_by_a_follower_too(
    stage: Stage, spawn: Callable[..., Operator], pair: tuple[Path, Path], path: str
) -> None:
    spawn().wait_for_log('"leading"')
    port = free_port()
    spawn(
        *("--signals-listen", f"127.0.0.1:{port}"),
        *("--signals-certificate", str(pair[0]), "--signals-key", str(pair[0])),
    )
    endpoint = Endpoint(stage.cluster, f"https://127.0.0.1:{port}")
    token = endpoint.account("falco", signaller=True)
    stage.become_good("app", rollback=SECURITY)
    release_v2(stage)
    trusted = ssl.create_default_context(cafile=str(pair[1]))
    answer = endpoint.post({"type": "SecurityIncident"}, token, path, verify=trusted)
    assert answer.status_code == 200, answer.text
    stage.rolled_back("app")
