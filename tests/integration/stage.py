"""A namespace with everything in it that a service needs to become good, to break, and to be rolled back."""

from collections.abc import Callable
from typing import Any

from tests.e2e.kube import until
from tests.integration.cluster import Cluster, Kubelet, Object
from tests.integration.manifests import deployment, service
from tests.integration.process import Operator
from tests.integration.target import Target


class Stage:
    """Services on it are named after their Deployments, and probed at the target's path of that name."""

    def __init__(self, cluster: Cluster, kubelet: Kubelet, target: Target) -> None:
        self.cluster, self.kubelet, self.target = cluster, kubelet, target
        self.operator: Operator | None = None

    def monitored(self, name: str, **spec: Any) -> Object:
        return service(name, self.target.url(name), **spec)

    def begin(self, name: str, **spec: Any) -> None:
        self.cluster.put(deployment(name), self.monitored(name, **spec))

    def good(self, *names: str, version: str = "v1", within: float = 40) -> None:
        for name in names:
            until(
                lambda n=name: self.status(n).get("lastGood") == version, within=within, says=f"{name} {version} good"
            )

    def become_good(self, *names: str, **spec: Any) -> None:
        for name in names:
            self.begin(name, **spec)
        self.good(*names)

    def release_bad(self, name: str, version: str = "v2", **more: Any) -> None:
        self.target.broken.add((name, version))
        self.cluster.put(deployment(name, version, **more))

    def status(self, name: str) -> Object:
        return (self.cluster.get("MonitoredService", name) or {}).get("status") or {}

    def wait(self, name: str, kind: str, reason: str, *, within: float = 40, status: str = "") -> Object:
        """Wait for a condition's reason; returns the condition."""
        seen: list[Object] = []

        def reached() -> bool:
            seen[:] = [self.cluster.condition(name, kind)]
            return seen[0].get("reason") == reason and status in {"", seen[0]["status"]}

        try:
            until(reached, within=within, says=f"{name}: {kind} {status} {reason}")
        except AssertionError as error:
            msg = f"{error}; it says {seen[0]}"
            raise AssertionError(msg) from None
        return seen[0]

    def rollbacks(self, name: str, phase: str = "") -> list[Object]:
        return [
            r
            for r in self.cluster.all("Rollback")
            if r["spec"]["service"] == name and phase in {"", (r.get("status") or {}).get("phase")}
        ]

    def rolled_back(self, name: str, *, within: float = 60) -> Object:
        try:
            return until(lambda: self.rollbacks(name, "Succeeded"), within=within, says=f"{name} rolled back")[0]
        except AssertionError as error:
            said = [(c["type"], c["status"], c["reason"], c["message"]) for c in self.cluster.conditions(name).values()]
            msg = f"{error}; Rollbacks {self.rollbacks(name)}; it says {said}"
            raise AssertionError(msg) from None

    def version(self, name: str) -> str:
        body = self.cluster.get("Deployment", name)
        assert body is not None
        return str(body["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"])


def quiet(operator: Operator, outcomes: float) -> Callable[[], bool]:
    """True once so many probes have ended since the last write to the API server."""
    writes, began = -1.0, 0.0

    def look() -> bool:
        nonlocal writes, began
        now, seen = operator.total("lastgood_api_writes_total"), operator.total("lastgood_probe_outcomes_total")
        if now != writes:
            writes, began = now, seen
        return seen >= began + outcomes

    return look
