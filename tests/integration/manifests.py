"""Manifests that tests begin from."""

import copy
from typing import Any

Object = dict[str, Any]


def secret_ref(name: str = "s", key: str = "k") -> Object:
    return {"secretKeyRef": {"name": name, "key": key}}


def service(name: str = "app", url: str = "http://app/health", **spec: Any) -> Object:
    """A MonitoredService that is good after 1 s and is rolled back after 1 s of failing."""
    rollback = {
        "policy": "Automatic",
        "triggers": {"healthFailing": {"for": "1s"}},
        "cooldown": "0s",
        **spec.pop("rollback", {}),
    }
    probe = {
        "name": "health",
        "interval": "1s",
        "timeout": "900ms",
        "failureThreshold": 2,
        "http": {"url": url},
        **spec.pop("probe", {}),
    }
    body: Object = {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"name": name},
            "probes": [probe],
            "stability": {"soak": "1s"},
            "rollback": rollback,
            **spec,
        },
    }
    return copy.deepcopy(body)


def rollback(name: str = "back", service: str = "app", **spec: Any) -> Object:
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "Rollback",
        "metadata": {"name": name},
        "spec": {"service": service, **spec},
    }


def secret(name: str, **data: str) -> Object:
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}


def deployment(
    name: str = "app", version: str = "v1", *, env: Object | None = None, annotations: Object | None = None, **spec: Any
) -> Object:
    container = {"name": "app", "image": "example/app:1"}
    if env:
        container["env"] = [{"name": k, **v} for k, v in env.items()]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "annotations": annotations or {}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": name, "app.kubernetes.io/version": version}},
                "spec": {"containers": [container], "terminationGracePeriodSeconds": 0},
            },
            **spec,
        },
    }
