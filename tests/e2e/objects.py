"""Objects that tests apply: an app whose health is what its command line and ConfigMap say, and its service."""

from typing import Any

IMAGE = "docker.io/local/lastgood-e2e:1"

# Answers /health with the status in $STATUS, or in the mounted file when there is one, after $DELAY seconds.
APP = """
import http.server, json, os, pathlib, time
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(os.environ.get('DELAY', '0')))
        file = pathlib.Path('/config/status')
        status = int(file.read_text()) if file.exists() else int(os.environ.get('STATUS', '200'))
        told = "ok" if status == 200 else "broken"
        body = json.dumps({"status": told, "version": os.environ.get("VERSION")}).encode()
        self.send_response(status); self.send_header('Content-Length', str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('', 8000), H).serve_forever()
"""


def app(
    name: str = "app",
    *,
    version: str = "v1.0.0",
    status: int = 200,
    replicas: int = 1,
    config: str = "",
    config_env: str = "",
    history: int | None = None,
    env: dict[str, str] | None = None,
    sidecar: bool = False,
    annotations: dict[str, str] | None = None,
    paused: bool = False,
) -> dict[str, Any]:
    variables = {"VERSION": version, "STATUS": str(status), **(env or {})}
    container: dict[str, Any] = {
        "name": "app",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "command": ["python3", "-c", APP],
        "env": [{"name": k, "value": v} for k, v in variables.items()],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
    }
    spec: dict[str, Any] = {"containers": [container], "terminationGracePeriodSeconds": 0}
    if sidecar:
        spec["containers"].append(
            {"name": "debug", "image": IMAGE, "imagePullPolicy": "Never", "command": ["sleep", "3600"]}
        )
    if config:
        container["volumeMounts"] = [{"name": "config", "mountPath": "/config"}]
        spec["volumes"] = [{"name": "config", "configMap": {"name": config}}]
    if config_env:
        container["env"] = [{"name": "VERSION", "value": version}]
        container["envFrom"] = [{"configMapRef": {"name": config_env}}]
    deployment: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}, "annotations": annotations or {}},
        "spec": {
            "replicas": replicas,
            "paused": paused,
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": {
                "metadata": {"labels": {"app": name, "app.kubernetes.io/version": version}},
                "spec": spec,
            },
        },
    }
    if history is not None:
        deployment["spec"]["revisionHistoryLimit"] = history
    return deployment


def service(name: str = "app") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 8000}]},
    }


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def monitored(name: str = "app", namespace: str = "", **spec: Any) -> dict[str, Any]:
    """A MonitoredService quick enough for a test: good after 3 s, rolled back after 4 s."""
    rollback = {
        "policy": "Automatic",
        "triggers": {"healthFailing": {"for": "4s"}},
        "cooldown": "0s",
        "rolloutTimeout": "60s",
        "validationTimeout": "30s",
        **spec.pop("rollback", {}),
    }
    return {
        "apiVersion": "lastgood.dev/v1alpha1",
        "kind": "MonitoredService",
        "metadata": {"name": name},
        "spec": {
            "targetRef": {"name": name},
            "probes": [
                {
                    "name": "health",
                    "interval": "1s",
                    "timeout": "900ms",
                    "failureThreshold": 2,
                    "http": {
                        "url": f"http://{name}.{namespace}.svc.cluster.local:8000/health",
                        "json": [{"path": "$.status", "equals": "ok"}],
                    },
                }
            ],
            "stability": {"soak": "3s"},
            "rollback": rollback,
            **spec,
        },
    }
